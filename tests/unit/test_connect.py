"""Every setting of the broker reaches the broker, and the first contact is patient."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from deploy.kafka.pki import KEY_PASSWORD, make_pki
from eddycast.service.broker.kafka import broker as kafka_clients
from eddycast.service.broker.memory.admin import MemoryAdmin
from eddycast.service.delivery import connect
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.security import SECRETS
from eddycast.service.settings.settings import every_setting
from tests.support.faulty_broker import FaultyBroker

SERVICE = Path(connect.__file__).parents[1]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of the clients that a broker makes, by kind."""
    made: dict[str, Any] = {}
    monkeypatch.setattr(kafka_clients, "KafkaConsumer", lambda *given: made.update(consumer=given))
    monkeypatch.setattr(kafka_clients, "KafkaReader", lambda *given: made.update(reader=given))
    monkeypatch.setattr(kafka_clients, "KafkaProducer", lambda *given: made.update(producer=given))
    return made


def connected(flags: dict[str, Any]) -> None:
    """Make every kind of client with these settings."""
    given = load_settings([f"--kafka.{name}={value}" for name, value in flags.items()], {}).kafka
    kafka = connect.kafka_broker(given)
    kafka.consumer("topic", "group", MagicMock())
    kafka.reader("topic")
    kafka.producer("id")


def test_numbers_reach_the_clients(clients: dict[str, Any]) -> None:
    membership = {
        "session_timeout_ms": 9_001,
        "heartbeat_interval_ms": 901,
        "max_poll_interval_ms": 50_001,
    }
    sending = {"delivery_timeout_ms": 11_001, "transaction_timeout_ms": 14_001, "linger_ms": 6}
    sizes = {"batch_bytes": 100_001, "max_request_bytes": 2_000_001, "unpacked_bytes": 3_000_001}
    others = {
        "request_timeout_ms": 8_001,
        "bootstrap_servers": "a:1, b:2",
        "instance_id": "left",
        "bulk": "false",
    }
    connected({**membership, **sending, **sizes, **others})
    for config in (clients["consumer"][0], clients["reader"][0], clients["producer"][0]):
        assert config["bootstrap_servers"] == ["a:1", "b:2"]
        assert config["request_timeout_ms"] == 8_001
        assert config["security_protocol"] == "PLAINTEXT"
    assert clients["consumer"][0].items() >= {**membership, "group_instance_id": "left"}.items()
    assert (
        clients["producer"][0].items()
        >= {**sending, "batch_size": 100_001, "max_request_size": 2_000_001}.items()
    )
    for kind in ("consumer", "reader"):
        assert clients[kind][-3:] == (8_001, False, 3_000_001)
    assert clients["producer"][-1] is False


def test_security_reaches_the_clients_in_their_words(
    clients: dict[str, Any], tmp_path: Path
) -> None:
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
    connected(flags)
    assert (
        clients["consumer"][0].items()
        >= {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "reader",
            "sasl_plain_password": "secret",
            "ssl_cafile": str(pki.ca),
            "ssl_certfile": str(pki.client),
            "ssl_keyfile": str(pki.client_key_encrypted),
            "ssl_password": KEY_PASSWORD,
            "ssl_check_hostname": False,
        }.items()
    )


@pytest.mark.parametrize("name", [setting.name for setting in every_setting()])
def test_no_setting_is_without_effect(name: str) -> None:
    group, _, last = name.rpartition(".")
    used = re.compile(rf"\.{last}\b")
    files = [path for path in SERVICE.rglob("*.py") if path.name != "load.py"]
    if last.removesuffix("_file") in SECRETS or last in ("ssl_cafile", "ssl_crlfile"):
        # read by name: service/broker/kafka/credentials.py
        used = re.compile(rf'"{last.removesuffix("_file")}"')
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
