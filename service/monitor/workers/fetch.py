"""A GET request of bounded time and size."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPException, HTTPResponse
from types import SimpleNamespace
from typing import NamedTuple, cast

from eddycast.service.settings.host_port import HostPort

_CHUNK = 1 << 16


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    body: bytes


def fetch(address: HostPort, path: str, within_s: float, most: int) -> Answer:
    """The answer of a port, which must be complete within this time, however slowly it comes, and
    have at most this many bytes. Raises OSError if there is none, ValueError for any other."""
    deadline = time.monotonic() + within_s
    with socket.create_connection(address, within_s) as connection:
        request = f"GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        received = _received(connection, deadline, most)
    # the parser of the standard library takes a connection and makes a file of it
    past = SimpleNamespace(makefile=lambda _mode: io.BytesIO(received))
    response = HTTPResponse(cast(socket.socket, past))
    try:
        response.begin()
        return Answer(response.status, response.read())
    except HTTPException as error:
        raise ValueError("the answer is not HTTP") from error


def _received(connection: socket.socket, deadline: float, most: int) -> bytes:
    """All bytes until the other side closes. Raises OSError, ValueError for too many."""
    received = bytearray()
    while (left_s := deadline - time.monotonic()) > 0:
        connection.settimeout(left_s)
        chunk = connection.recv(_CHUNK)
        if not chunk:
            return bytes(received)
        received += chunk
        if len(received) > most:
            raise ValueError(f"the answer is longer than {most:,} bytes")
    raise TimeoutError("timed out")
