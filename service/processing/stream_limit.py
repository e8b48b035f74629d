"""Admission of new streams, up to a limit, so that a flood of invented keys cannot exhaust memory.

The limit is per process, so which new streams are admitted depends on the partitions that it holds.
Streams that have a row are never refused, and committed rows are always restored.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Observations, Tombstones
from eddycast.service.state.arena import Arena

Bool = NDArray[np.bool_]


class Admission:
    """Decides which new streams may be given a row."""

    def __init__(self, arena: Arena, max_streams: int | None) -> None:
        """`max_streams` None = limited by memory only."""
        self._arena, self._max_streams = arena, max_streams

    def refused(
        self, batches: Sequence[Observations], removals: Sequence[Tombstones]
    ) -> list[Bool] | None:
        """Return the observations of new streams beyond the limit:
        bool [n] per batch, or None if there are none.

        `removals` are the tombstones of each batch; a stream that they remove makes room for later
        ones. Memory for all admitted streams is reserved; the engine creates their rows.
        """
        records = sum(map(len, batches))
        if records <= self._arena.free and self._room() >= records:  # enough even if all are new
            return None
        new = [self._arena.known(batch.partition, batch.streams) < 0 for batch in batches]
        names = {
            (b.partition, b.streams[i])
            for b, own in zip(batches, new, strict=True)
            for i in np.flatnonzero(own)
        }
        enough = self._arena.reserve(len(names))
        if enough and self._room() >= len(names):
            return None
        room = self._room() if enough else min(self._room(), self._arena.free)
        refused = []
        for batch, own, gone in zip(batches, new, removals, strict=True):
            column, room = self._cut(batch, own, gone, room)
            refused.append(column)
        return refused

    def _room(self) -> int:
        """Return how many new streams the limit allows."""
        return (
            sys.maxsize
            if self._max_streams is None
            else max(0, self._max_streams - len(self._arena))
        )

    def _cut(
        self, batch: Observations, new: Bool, removals: Tombstones, room: int
    ) -> tuple[Bool, int]:
        """Return the refused observations of a batch, bool [n], and the room left after it."""
        refused = np.zeros(len(batch), np.bool_)
        here = {s for s in removals.streams if self._arena.find(batch.partition, s) is not None}
        before, done = np.searchsorted(removals.offsets, batch.offsets), 0
        for i in np.flatnonzero(new).tolist():
            gone = here.intersection(removals.streams[done : before[i]])
            done, room, here = int(before[i]), room + len(gone), here - gone
            if batch.streams[i] in here:
                continue
            refused[i] = room == 0
            if room:
                here.add(batch.streams[i])
                room -= 1
        return refused, room + len(here.intersection(removals.streams[done:]))
