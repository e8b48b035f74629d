"""Data of a socket is received in large pieces;
its end, errors and an empty socket are handled as by the client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from eddycast.service.broker.kafka.bulk_reading import _RECEIVE, _receive


@pytest.fixture
def ends() -> Iterator[tuple[Any, socket.socket]]:
    """A transport, as far as receiving goes, and the other end of its socket."""
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield SimpleNamespace(_sock=here), there


def test_much_comes_at_once(ends: tuple[Any, socket.socket]) -> None:
    transport, there = ends
    there.sendall(b"x" * 50_000)
    assert _receive(transport) == (b"x" * 50_000, None)
    assert _RECEIVE > 50_000


def test_nothing_is_no_error(ends: tuple[Any, socket.socket]) -> None:
    assert _receive(ends[0]) == (b"", None)


def test_the_end_is_an_error_after_what_came_before(ends: tuple[Any, socket.socket]) -> None:
    transport, there = ends
    there.sendall(b"last")
    there.close()
    assert _receive(transport) == (b"last", None)
    data, error = _receive(transport)
    assert data == b""
    assert error is not None
