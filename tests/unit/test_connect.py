"""Every setting of the broker reaches the broker, and the first contact is patient."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.pki import KEY_PASSWORD, make_pki
from service.broker.memory.admin import MemoryAdmin
from service.delivery import connect
from service.errors import BrokerUnavailable
from service.settings.load import every_setting, load_settings
from service.settings.security import SECRETS
from tests.support.faulty_broker import FaultyBroker

SERVICE = Path(connect.__file__).parents[1]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the Kafka broker is made with."""
    options: dict[str, Any] = {}

    def record(bootstrap_servers: str, **others: Any) -> None:
        options.update(others, bootstrap_servers=bootstrap_servers)

    monkeypatch.setattr(connect, "KafkaBroker", record)
    return options


def test_numbers_reach_the_broker_under_their_own_names(given: dict[str, Any]) -> None:
    numbers = {
        "session_timeout_ms": 9_001,
        "heartbeat_interval_ms": 901,
        "max_poll_interval_ms": 50_001,
        "request_timeout_ms": 8_001,
        "delivery_timeout_ms": 11_001,
        "transaction_timeout_ms": 14_001,
        "linger_ms": 6,
        "batch_bytes": 100_001,
        "max_request_bytes": 2_000_001,
        "unpacked_bytes": 3_000_001,
    }
    flags = [f"--kafka.{name}={number}" for name, number in numbers.items()]
    flags += ["--kafka.bootstrap_servers=a:1,b:2", "--kafka.instance_id=left", "--kafka.bulk=false"]
    connect.kafka_broker(load_settings(flags, {}).kafka)
    assert given == {
        **numbers,
        "bootstrap_servers": "a:1,b:2",
        "instance_id": "left",
        "bulk": False,
        "security": {"security_protocol": "PLAINTEXT"},
    }


def test_security_reaches_the_client_in_its_words(given: dict[str, Any], tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    flags = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "reader",
        "sasl_password": "secret",
        "ssl_cafile": pki.ca,
        "ssl_certfile": pki.client,
        "ssl_keyfile": pki.client_key_encrypted,
        "ssl_password": KEY_PASSWORD,
        "ssl_check_hostname": "false",
    }
    connect.kafka_broker(load_settings([f"--kafka.{name}={value}" for name, value in flags.items()], {}).kafka)
    assert given["security"] == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "reader",
        "sasl_plain_password": "secret",
        "ssl_cafile": str(pki.ca),
        "ssl_certfile": str(pki.client),
        "ssl_keyfile": str(pki.client_key_encrypted),
        "ssl_password": KEY_PASSWORD,
        "ssl_check_hostname": False,
    }


@pytest.mark.parametrize("name", [setting.name for setting in every_setting()])
def test_no_setting_is_without_effect(name: str) -> None:
    group, _, last = name.rpartition(".")
    used = re.compile(rf"\.{last}\b")
    files = [path for path in SERVICE.rglob("*.py") if path.name != "load.py"]
    if last.removesuffix("_file") in SECRETS or last in ("ssl_cafile", "ssl_crlfile"):
        used = re.compile(rf'"{last.removesuffix("_file")}"')  # read by name: service/settings/credentials.py
    assert any(used.search(path.read_text()) for path in files), f"{group}.{last} is read nowhere"


def test_a_broker_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, asked, waited = FaultyBroker(), [0], list[str]()

    def admin() -> MemoryAdmin:
        asked[0] += 1
        if asked[0] < 3:
            raise BrokerUnavailable("nobody answers")
        return MemoryAdmin(broker)

    monkeypatch.setattr(broker, "admin", admin)
    assert connect.reach(broker, threading.Event(), waited.append, every_s=0.01) is not None
    assert waited == ["the broker"] * 3


def test_a_stop_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, stop = FaultyBroker(), threading.Event()

    def admin() -> MemoryAdmin:
        stop.set()
        raise BrokerUnavailable("nobody answers")

    monkeypatch.setattr(broker, "admin", admin)
    assert connect.reach(broker, stop, lambda _what: None, every_s=60) is None


def test_patience_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, asked = FaultyBroker(), [0]

    def admin() -> MemoryAdmin:
        asked[0] += 1
        raise BrokerUnavailable("nobody answers at a:1")

    monkeypatch.setattr(broker, "admin", admin)
    with pytest.raises(BrokerUnavailable, match=r"nobody answers at a:1, for 0\.05 s") as caught:
        connect.reach(broker, threading.Event(), lambda _what: None, every_s=0.01, within_s=0.05)
    assert 2 <= asked[0] <= 7 and "address" in caught.value.action
