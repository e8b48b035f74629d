"""Tokens for SASL/OAUTHBEARER, from a file renewed by another process or from a client-credentials
endpoint."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from kafka.net.sasl.oauth import AbstractTokenProvider

from eddycast.service.errors import AuthenticationFailed, BrokerUnavailable, TlsFailed

_TIMEOUT_S = 5.0
_MOST_BYTES = 1 << 16
#: Fraction of its lifetime for which a token is reused.
_USED_FOR = 0.8


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """The token in a file, read at each login."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def token(self) -> str:
        """The token. Raises BrokerUnavailable while the file holds no valid one:
        its renewal may be late."""
        try:
            token = self._file.read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BrokerUnavailable(f"no token can be read from {self._file}: {error}") from error
        if not token:
            raise BrokerUnavailable(f"{self._file} is empty: waiting for a token")
        expires = _expiry(token)
        if expires is not None and expires <= time.time():
            raise BrokerUnavailable(f"the token in {self._file} has expired: waiting for a new one")
        return token


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of an authorization server (OAuth 2.0, client credentials),
    shared by all clients of a service."""

    def __init__(
        self, endpoint: str, client_id: str, secret: str, scope: str | None = None
    ) -> None:
        basic = base64.b64encode(f"{quote(client_id, '')}:{quote(secret, '')}".encode()).decode()
        body = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
        self._request = Request(endpoint, urlencode(body).encode(), headers)  # noqa: S310 - the settings allow http(s)
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def token(self) -> str:
        """A valid token, fetched if necessary. Raises AuthenticationFailed, TlsFailed,
        BrokerUnavailable."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._token, seconds = self._fetch()
                self._until = time.monotonic() + seconds * _USED_FOR
            return self._token

    def _fetch(self) -> tuple[str, float]:
        try:
            with build_opener(_Straight).open(self._request, timeout=_TIMEOUT_S) as answer:
                content = json.loads(answer.read(_MOST_BYTES))
            return str(content["access_token"]), float(content.get("expires_in", 0))
        except HTTPError as error:
            raise self._refused(error) from error
        except OSError as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                what = (
                    f"the certificate of {self._endpoint} is not accepted: {cause.verify_message}"
                )
                raise TlsFailed(
                    what, "add its authority to the system's trust store, or set SSL_CERT_FILE"
                ) from error
            raise BrokerUnavailable(f"no token from {self._endpoint}: {cause}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BrokerUnavailable(
                f"no token from {self._endpoint}: its answer holds no access_token"
            ) from error

    def _refused(self, error: HTTPError) -> AuthenticationFailed | BrokerUnavailable:
        """The error for an HTTP error. Its text has only the status code,
        since the response may repeat the credentials."""
        what = f"{self._endpoint} gives no token: HTTP {error.code}"
        if error.code >= 500 or error.code in (408, 429):
            return BrokerUnavailable(what)
        return AuthenticationFailed(
            what, "correct kafka.sasl_oauth_endpoint, the client id and its secret"
        )


class _Straight(HTTPRedirectHandler):
    """Follows no redirect, which would send the secret elsewhere;
    a redirect is an HTTP error here."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _expiry(token: str) -> float | None:
    """Expiry of a JSON Web Token, seconds since the epoch;
    None without an expiry and for other tokens."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires) if isinstance(expires, int | float) else None
