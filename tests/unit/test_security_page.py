"""docs/security.md is correct: examples load, settings exist, and rights match the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.kafka.pki import KEY_PASSWORD, make_pki
from deploy.kafka.secure import unsigned_token
from eddycast.service.broker.kafka.credentials import client_security
from eddycast.service.delivery.rights import granting, needed_rights
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.security import SecuritySettings

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.S | re.M)


def test_there_is_an_example_of_each_way_in() -> None:
    assert len([example for example in EXAMPLES if example.startswith("[kafka]")]) == 6
    assert all(
        mechanism in TEXT
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI")
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_loads(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pki(tmp_path)
    for name, content in {
        "key-password": KEY_PASSWORD,
        "token": unsigned_token("eddycast"),
    }.items():
        (tmp_path / name).write_text(content)
    for name in ("password", "client-secret"):
        (tmp_path / name).write_text("secret\n")
    (tmp_path / "eddycast.toml").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "eddycast.service.broker.kafka.credentials.find_spec", lambda _name: object()
    )
    kafka = load_settings(["--config", "eddycast.toml"], {}).kafka
    assert client_security(kafka)["security_protocol"] == kafka.security_protocol
    assert not list(kafka.risks())


@pytest.mark.parametrize("name", SecuritySettings.model_fields)
def test_each_setting_is_named(name: str) -> None:
    assert re.search(rf"\b{name}\b", TEXT)


def test_the_rights_match_those_that_the_service_needs() -> None:
    login = [
        "--kafka.security_protocol=SASL_SSL",
        "--kafka.sasl_username=eddycast",
        "--kafka.sasl_password=p",
    ]
    settings = load_settings(login, {})
    topics = settings.topics
    for topic in (topics.input, topics.output, topics.dead_letters, settings.changelog):
        assert (
            granting(settings, topic, needed_rights(settings, topic, exists=True))
            in TEXT.splitlines()
        )
    for rest in (
        f"--group {settings.kafka.group}",
        f"--transactional-id eddycast-{settings.kafka.group}-",
    ):
        assert rest in TEXT
