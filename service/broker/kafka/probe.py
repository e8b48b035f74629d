"""One request that finds out which protocol a port speaks after it disconnected without an error.

A broker disconnects on bytes that it does not understand, and also while it shuts down;
only a response tells the two apart.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

from eddycast.service.broker.kafka.refusals import no_sasl, no_tls
from eddycast.service.errors import AccessRefused, AuthenticationFailed, TlsFailed

_TIMEOUT_S = 1.0
#: SaslHandshake, version 1: API key 17, correlation id 1, no client id, mechanism "PLAIN".
_HELLO = struct.pack(">hhihh5s", 17, 1, 1, -1, 5, b"PLAIN")
_SASL_OFFERED, _NO_SASL = (0, 33), 34
_TLS_ALERT = 0x15


def speaks(where: str, config: Mapping[str, Any]) -> AccessRefused | None:
    """The error if this configuration does not fit HOST:PORT; None if that is not certain."""
    protocol = config["security_protocol"]
    plain = _answer(where, tls=False)
    if protocol.endswith("SSL"):
        if _code(plain) is not None:
            return no_tls(where)
        answer = _answer(where, tls=True)
    else:
        if plain[:1] == bytes([_TLS_ALERT]):
            wanted = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
            return TlsFailed(f"{where} speaks TLS only", f"set kafka.security_protocol to {wanted}")
        answer = plain
    code = _code(answer)
    if code in _SASL_OFFERED and not protocol.startswith("SASL"):
        action = (
            f"set kafka.security_protocol to SASL_{protocol}, "
            "and kafka.sasl_mechanism with its credentials"
        )
        return AuthenticationFailed(f"{where} requires a login", action)
    return no_sasl(where) if code == _NO_SASL and protocol.startswith("SASL") else None


def offered(where: str, config: Mapping[str, Any]) -> list[str]:
    """SASL mechanisms that HOST:PORT offers; empty if it does not list them."""
    answer = _answer(where, tls=config["security_protocol"].endswith("SSL"))
    if _code(answer) not in _SASL_OFFERED:
        return []
    names, at = list[str](), 14  # after the number of names
    while at + 2 < len(answer):
        (length,) = struct.unpack_from(">h", answer, at)
        names.append(answer[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return names


def _answer(where: str, tls: bool) -> bytes:
    """First bytes of the response; empty without one."""
    host, _, port = where.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), _TIMEOUT_S) as plain,
            _wrapped(plain, host, tls) as connection,
        ):
            connection.sendall(struct.pack(">i", len(_HELLO)) + _HELLO)
            return connection.recv(1024)
    except OSError:
        return b""


def _wrapped(connection: socket.socket, host: str, tls: bool) -> socket.socket:
    """Wrap a socket in TLS without verification:
    nothing secret is sent, and the client verifies the certificate."""
    if not tls:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host)


def _code(answer: bytes) -> int | None:
    """Error code of a response (size, correlation id, code); None if it is not one."""
    if len(answer) < 10 or answer[4:8] != b"\0\0\0\1":
        return None
    return int(struct.unpack(">h", answer[8:10])[0])
