"""Views of the whole board, made anew now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from eddycast.service.monitor.board import Board

T = TypeVar("T")
#: A view is made at most this often, s, and takes at most this part of the time, because the
#: follower waits while it is made.
_EVERY_S, _PART = 0.5, 0.05


class Remade(Generic[T]):
    """A view of a board, as old as it is expensive."""

    def __init__(self, board: Board, make: Callable[[Board], T]) -> None:
        self._board, self._make = board, make
        self._records = -1
        self._next_s = 0.0
        with board.lock:
            self._view = make(board)

    def current(self) -> T:
        """The view, made anew if records have come and it is old enough."""
        with self._board.lock:
            began = time.monotonic()
            if began >= self._next_s and self._records != self._board.records:
                self._view, self._records = self._make(self._board), self._board.records
                took_s = time.monotonic() - began
                self._next_s = began + max(_EVERY_S, took_s / _PART)
            return self._view
