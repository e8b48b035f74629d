"""Tokens for client credentials: fetched once, used again, and refused without showing a secret."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

import pytest

from deploy.kafka.pki import make_pki
from eddycast.service.broker.kafka.tokens import ClientCredentials
from eddycast.service.errors import AuthenticationFailed, BrokerError, BrokerUnavailable, TlsFailed
from tests.support.tokens import SECRET, Endpoint


def test_a_token_is_asked_for_as_the_standard_says_and_used_again(endpoint: Endpoint) -> None:
    tokens = endpoint.tokens("kafka")
    assert [tokens.token(), tokens.token()] == ["t1", "t1"]
    ((authorization, body),) = endpoint.asked
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"client:s3%3Acret%2F%C3%A4"
    assert body == "grant_type=client_credentials&scope=kafka"


def test_a_token_without_a_life_is_asked_for_each_time(endpoint: Endpoint) -> None:
    endpoint.content = json.dumps({"access_token": "t"}).encode()
    tokens = endpoint.tokens()
    assert tokens.token() == tokens.token()
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, b'{"error": "invalid_client"}', AuthenticationFailed),
        (400, b'{"error": "invalid_scope"}', AuthenticationFailed),
        (404, b"", AuthenticationFailed),
        (302, b"", AuthenticationFailed),
        (429, b"", BrokerUnavailable),
        (503, b"", BrokerUnavailable),
        (200, b"<html>", BrokerUnavailable),
        (200, b"[]", BrokerUnavailable),
        (200, b'{"token": "t"}', BrokerUnavailable),
    ],
)
def test_no_token_is_an_error_that_shows_no_secret(
    status: int, content: bytes, kind: type[BrokerError], endpoint: Endpoint
) -> None:
    endpoint.status, endpoint.content = status, content + SECRET.encode()
    endpoint.headers = {"Location": endpoint.url} if status == 302 else {}
    with pytest.raises(kind, match="no token") as caught:
        endpoint.tokens().token()
    assert SECRET not in str(caught.value) and len(endpoint.asked) == 1


def test_an_endpoint_that_is_down_is_waited_for() -> None:
    with pytest.raises(BrokerUnavailable, match=r"no token from .*refused"):
        ClientCredentials("http://127.0.0.1:1/token", "client", SECRET).token()


def test_an_endpoint_that_nobody_vouches_for_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_pki(tmp_path).server)
    endpoint.server.socket = context.wrap_socket(endpoint.server.socket, server_side=True)
    with pytest.raises(TlsFailed, match=r"certificate of https://.* is not accepted"):
        ClientCredentials(endpoint.url.replace("http:", "https:"), "client", SECRET).token()
