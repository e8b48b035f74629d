"""The index of one partition: stream -> slot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from eddycast.service.records import Int64

#: Allocated bytes of one slot number, and of one stream name beyond its length (header and
#: rounding).
SLOT_BYTES, KEY_BYTES = 32, 48


class StreamIndex(dict[bytes, int]):
    """Slot of each stream in one partition, in order of arrival."""

    __slots__ = ("name_bytes",)

    def __init__(self) -> None:
        super().__init__()
        self.name_bytes = 0

    def remove(self, streams: Iterable[bytes]) -> None:
        """Remove streams; raises KeyError for an unknown one."""
        for stream in streams:
            del self[stream]
            self.name_bytes -= len(stream)

    def put(self, streams: Sequence[bytes], slots: Int64) -> None:
        """Add streams that are not in the index yet, with their slots [n]."""
        self.update(zip(streams, slots.tolist(), strict=True))
        self.name_bytes += sum(map(len, streams))

    def held(self) -> Int64:
        """Return the slots of all streams, int64 [n], in order of arrival."""
        return np.fromiter(self.values(), np.int64, len(self))
