"""kafka-python's security options, from the settings and the files that they name.

Each file is read once, to check it. Certificates and tokens are read again by the client at each
connection, so they may be renewed without a restart.
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eddycast.service.broker.kafka.tokens import ClientCredentials, TokenFile
from eddycast.service.errors import MissingExtra, SettingsError
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.text_file import text_of


def client_security(settings: KafkaSettings) -> dict[str, Any]:
    """The options `security_protocol`, `ssl_*` and `sasl_*` of kafka-python.
    Raises SettingsError, MissingExtra."""
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.has_tls:
        options |= _tls(settings)
    if settings.has_login:
        options |= {"sasl_mechanism": settings.sasl_mechanism} | _login(settings)
    return options


def _login(settings: KafkaSettings) -> dict[str, Any]:
    match settings.sasl_mechanism:
        case "OAUTHBEARER":
            return {"sasl_oauth_token_provider": _tokens(settings)}
        case "GSSAPI":
            if find_spec("gssapi") is None:
                raise MissingExtra(
                    "kafka.sasl_mechanism GSSAPI needs gssapi", "pip install 'eddycast[kerberos]'"
                )
            service, domain = (
                settings.sasl_kerberos_service_name,
                settings.sasl_kerberos_domain_name,
            )
            return {"sasl_kerberos_service_name": service or "kafka"} | (
                {"sasl_kerberos_domain_name": domain} if domain else {}
            )
        case _:
            password = _secret(settings, "sasl_password")
            return {"sasl_plain_username": settings.sasl_username, "sasl_plain_password": password}


def _tokens(settings: KafkaSettings) -> TokenFile | ClientCredentials:
    if (file := settings.sasl_oauth_token_file) is not None:
        text_of(file, "kafka.sasl_oauth_token_file")
        return TokenFile(file)
    return ClientCredentials(
        settings.sasl_oauth_endpoint or "",
        settings.sasl_oauth_client_id or "",
        _secret(settings, "sasl_oauth_client_secret") or "",
        settings.sasl_oauth_scope,
    )


def _tls(settings: KafkaSettings) -> dict[str, Any]:
    """Options of TLS, after each file has been loaded in the way that the client will load it."""
    password = _secret(settings, "ssl_password") or ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    options: dict[str, Any] = {"ssl_check_hostname": settings.ssl_check_hostname}
    for name in ("ssl_cafile", "ssl_crlfile"):
        if (file := getattr(settings, name)) is not None:
            text_of(file, f"kafka.{name}")
            _try_loading(
                name,
                file,
                lambda file=file: context.load_verify_locations(file),
                "a certificate list in PEM",
            )
            options[name] = str(file)
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile
    if certificate is not None:
        for name, file in (("ssl_certfile", certificate), ("ssl_keyfile", key or certificate)):
            text_of(file, f"kafka.{name}")
        _try_loading(
            "ssl_certfile",
            certificate,
            lambda: context.load_cert_chain(certificate, key, password),
            "a certificate in PEM with its key, decrypted by kafka.ssl_password",
        )
        # Without a password OpenSSL would prompt for one at the terminal;
        # an empty one fails at once.
        options |= {
            "ssl_certfile": str(certificate),
            "ssl_keyfile": key and str(key),
            "ssl_password": password,
        }
    return options


def _try_loading(name: str, file: Path, load: Any, expected: str) -> None:
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise SettingsError(
            f"kafka.{name}: {file} does not load: {reason}", f"name {expected}"
        ) from error


def _secret(settings: KafkaSettings, name: str) -> str | None:
    """A secret from its setting, or from the file named by the setting `NAME_file`."""
    given = getattr(settings, name)
    if given is not None:
        return str(given.get_secret_value())
    file = getattr(settings, f"{name}_file")
    return None if file is None else text_of(file, f"kafka.{name}_file")
