"""The token and the certificate of a server, from their settings and files."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import SecretStr

from eddycast.service.errors import SettingsError
from eddycast.service.settings.feed import FeedSettings
from eddycast.service.settings.monitor import MonitorSettings

#: Groups of settings with a token and a certificate, and the name of each.
Served = MonitorSettings | FeedSettings


def tls_of(settings: Served) -> tuple[Path, Path | None] | None:
    """Certificate and key for HTTPS, None without. Raises SettingsError."""
    certificate, key = settings.ssl_certfile, settings.ssl_keyfile
    if certificate is None:
        return None
    try:
        # an empty password: one that is asked for at the terminal would stop the start
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, "")
    except OSError as error:
        raise SettingsError(
            f"{_group(settings)}.ssl_certfile: {certificate} does not load: "
            f"{error.strerror or error}",
            "name a certificate in PEM with its key, without a password",
        ) from error
    return certificate, key


def token_of(settings: Served) -> str | None:
    """The token from its setting or file. Raises SettingsError."""
    if isinstance(settings.token, SecretStr):
        return settings.token.get_secret_value()
    if settings.token_file is None:
        return None
    try:
        token = settings.token_file.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{_group(settings)}.token_file: {settings.token_file} cannot be read",
            "name a readable file",
        ) from error
    if len(token) < 8:
        raise SettingsError(
            f"{_group(settings)}.token_file: {settings.token_file} holds less than 8 characters",
            "put the token into it",
        )
    return token


def _group(settings: Served) -> str:
    return "feed" if isinstance(settings, FeedSettings) else "monitor"
