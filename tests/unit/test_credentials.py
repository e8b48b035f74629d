"""Secrets come from settings or files, and what does not load is named before anything is connected
to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.pki import KEY_PASSWORD, Pki, make_pki
from deploy.kafka.secure import unsigned_token
from eddycast.service.broker.kafka.credentials import client_security
from eddycast.service.broker.kafka.tokens import TokenFile
from eddycast.service.errors import BrokerUnavailable, MissingExtra, SettingsError
from eddycast.service.settings.load import load_settings


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def security(**settings: object) -> dict[str, Any]:
    return client_security(
        load_settings([f"--kafka.{name}={value}" for name, value in settings.items()], {}).kafka
    )


def login(**settings: object) -> dict[str, Any]:
    return security(security_protocol="SASL_SSL", sasl_username="reader", **settings)


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n", "\ufeffs3cret\r\n"])
def test_a_password_comes_from_a_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(text.encode())
    assert login(sasl_password_file=file)["sasl_plain_password"] == "s3cret"


def test_spaces_belong_to_a_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" a b \n")
    assert login(sasl_password_file=file)["sasl_plain_password"] == " a b "


def test_the_key_s_password_comes_from_a_file(pki: Pki, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(KEY_PASSWORD)
    own = {
        "ssl_certfile": pki.client,
        "ssl_keyfile": pki.client_key_encrypted,
        "ssl_password_file": file,
    }
    assert security(security_protocol="SSL", **own)["ssl_password"] == KEY_PASSWORD


@pytest.mark.parametrize(
    "setting", ["sasl_password_file", "ssl_cafile", "ssl_crlfile", "ssl_certfile"]
)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\x80\xff", "not a text file")],
)
def test_a_file_that_gives_nothing_is_named(
    setting: str, content: bytes | None, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    settings: dict[str, object] = {"security_protocol": "SSL"}
    if setting.startswith("sasl"):
        settings = {"security_protocol": "SASL_SSL", "sasl_username": "u"}
    with pytest.raises(SettingsError, match=rf"kafka\.{setting}: .*{file.name} .*{complaint}"):
        security(**settings, **{setting: file})


def test_certificates_and_keys_are_tried_before_they_are_needed(pki: Pki, tmp_path: Path) -> None:
    own = {"security_protocol": "SSL", "ssl_certfile": pki.client}
    prose = tmp_path / "prose.pem"
    prose.write_text("no certificate")
    for wrong, complaint in (
        ({"ssl_cafile": prose}, r"kafka\.ssl_cafile: .*prose\.pem does not load"),
        ({"ssl_keyfile": pki.stranger_key}, "does not load: .*mismatch"),
        ({"ssl_keyfile": pki.client_key_encrypted}, "decrypted by kafka.ssl_password"),
        (
            {"ssl_keyfile": pki.client_key_encrypted, "ssl_password": "wr0ng"},
            "decrypted by kafka.ssl_password",
        ),
        ({}, "does not load"),
    ):
        with pytest.raises(SettingsError, match=complaint) as caught:
            security(**own, **wrong)
        assert "wr0ng" not in str(caught.value)


def test_a_certificate_without_a_password_never_asks_the_terminal(pki: Pki) -> None:
    assert (
        security(security_protocol="SSL", ssl_certfile=pki.client, ssl_keyfile=pki.client_key)[
            "ssl_password"
        ]
        == ""
    )


def test_kerberos_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    kerberos = {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}
    monkeypatch.setattr("eddycast.service.broker.kafka.credentials.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"needs gssapi.*eddycast\[kerberos\]"):
        security(**kerberos)
    monkeypatch.setattr(
        "eddycast.service.broker.kafka.credentials.find_spec", lambda _name: object()
    )
    assert security(**kerberos)["sasl_kerberos_service_name"] == "kafka"
    own = {"sasl_kerberos_service_name": "broker", "sasl_kerberos_domain_name": "kafka.example"}
    assert own.items() <= security(**kerberos, **own).items()


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    first = unsigned_token("a")
    file.write_text(first + "\n")
    provider = security(
        security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=file
    )["sasl_oauth_token_provider"]
    assert provider.token() == first
    file.write_text("\ufeffopaque")
    assert provider.token() == "opaque"


@pytest.mark.parametrize(
    "text", ["", "\n", unsigned_token("a", seconds=-10)], ids=["none", "a line feed", "expired"]
)
def test_a_token_that_is_late_is_waited_for(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(BrokerUnavailable, match="token"):
        TokenFile(file).token()
    file.unlink()
    with pytest.raises(BrokerUnavailable, match="no token can be read"):
        TokenFile(file).token()
