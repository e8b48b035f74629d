"""Forgetting streams that fell silent, by stream time: a replay forgets the same ones, and an outage forgets nobody."""

from __future__ import annotations

from collections.abc import Collection

from service.state.arena import Arena

#: Looked for each time the partition's stream time has moved by this part of the time to live.
_PART = 8


class Eviction:
    """Compares each row's last accepted stamp with the largest one of its partition."""

    def __init__(self, arena: Arena, ttl_ms: int, reset_ms: int) -> None:
        """Streams idle for more than `ttl_ms` are forgotten, never before `reset_ms`: after a gap of that length a
        stream begins anew in any case, so that forgetting it changes no forecast of a reading in order."""
        self._arena = arena
        self._ttl_ms = max(ttl_ms, reset_ms)
        self._newest: dict[int, int] = {}
        self._looked: dict[int, int] = {}

    def advance(self, partition: int, timestamp: int) -> int:
        """A reading of this stamp (ms) was accepted; how many streams were forgotten on account of it."""
        newest = self._newest[partition] = max(timestamp, self._newest.get(partition, timestamp))
        if newest - self._looked.setdefault(partition, newest) < self._ttl_ms // _PART:
            return 0
        self._looked[partition] = newest
        return len(self._arena.evict(partition, newest - self._ttl_ms))

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are no longer ours."""
        for partition in partitions:
            self._newest.pop(partition, None)
            self._looked.pop(partition, None)
