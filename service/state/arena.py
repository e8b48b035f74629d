"""State rows in memory: one array per tensor with one row per stream,
and an index of streams per partition.

The arena depends on tensor specs and `records.ROW_PREFIX`, not on their meaning. `gather` and
`scatter` are inverses. Rows that belong to no stream are all zeros, which is how the contract
starts a new stream.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import ROW_PREFIX, Int64
from eddycast.service.state.mmap_array import MmapArray
from eddycast.service.state.stream_index import KEY_BYTES, SLOT_BYTES, StreamIndex


class Spec(Protocol):
    """One tensor of a stream's state; `shape` excludes the batch dimension."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class Arena:
    """State rows of all streams in the partitions that are held.

    A slot stays valid until its stream is evicted or its partition freed. Not thread-safe.
    """

    def __init__(self, specs: Sequence[Spec], capacity: int = 1024) -> None:
        """Allocate room for `capacity` streams; the arena doubles when full."""
        self._shapes = {spec.name: tuple(spec.shape) for spec in specs}
        self._tensors = {
            s.name: MmapArray(capacity, tuple(s.shape), np.dtype(s.dtype)) for s in specs
        }
        self._prefix = MmapArray(capacity, (), ROW_PREFIX)
        self._indexes: dict[int, StreamIndex] = {}
        self._free: list[int] = []  # released slots; those from `_unused` on were never allocated
        self._unused = 0

    def __len__(self) -> int:
        return sum(map(len, self._indexes.values()))

    @property
    def prefix(self) -> NDArray[np.void]:
        """`records.ROW_PREFIX` [capacity], indexed by slot.
        `slots` may grow and so replace this array."""
        return self._prefix.array

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, used or not, plus an estimate for the indexes."""
        rows = self.prefix.nbytes + sum(tensor.array.nbytes for tensor in self._tensors.values())
        index = sum(
            sys.getsizeof(index) + index.name_bytes + len(index) * (SLOT_BYTES + KEY_BYTES)
            for index in self._indexes.values()
        )
        return rows + index + sys.getsizeof(self._free) + len(self._free) * SLOT_BYTES

    @property
    def free(self) -> int:
        """Number of streams that can be added without allocating memory."""
        return len(self._free) + len(self.prefix) - self._unused

    def reserve(self, streams: int) -> bool:
        """Make room for `streams` new streams; False if the system has no memory for them."""
        if streams <= self.free:
            return True
        try:
            self._grow(self._unused + streams - len(self._free))
        except MemoryError:
            return False
        return True

    def slots(self, partition: int, streams: Sequence[bytes]) -> Int64:
        """Return the slot of each stream, int64 [n]; new streams are allocated a zeroed row.

        Raises MemoryError.
        """
        index = self._index(partition)
        found = list(map(index.get, streams))
        if None in found:
            new = list(
                dict.fromkeys(
                    stream for stream, slot in zip(streams, found, strict=True) if slot is None
                )
            )
            slots = self._allocate(len(new))
            index.put(new, slots)
            if len(new) == len(streams):
                return slots
            found = list(map(index.get, streams))
        return np.array(found, np.int64)

    def known(self, partition: int, streams: Sequence[bytes]) -> Int64:
        """Return the slot of each stream, int64 [n];
        -1 for unknown streams, which are not added."""
        index = self._index(partition)
        return np.fromiter((index.get(stream, -1) for stream in streams), np.int64, len(streams))

    def young(self, observations: int) -> int:
        """Return the number of streams that have fewer accepted readings than that."""
        counts = self.prefix["observations"][: self._unused]
        return int(np.count_nonzero((counts > 0) & (counts < observations)))

    def find(self, partition: int, stream: bytes) -> int | None:
        """Return the slot of a stream, or None if it is unknown."""
        index = self._indexes.get(partition)
        return None if index is None else index.get(stream)

    def gather(self, slots: Int64, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Copy rows: tensor name -> [n, ...], of all tensors or of those in `names`."""
        return {
            name: self._tensors[name].array.take(slots, axis=0)
            for name in (self._tensors if names is None else names)
        }

    def scatter(self, slots: Int64, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Store rows: tensor name -> [n, ...].

        Raises KeyError for an unknown name, ValueError for a wrong shape and TypeError for a wrong
        dtype; nothing is stored then.
        """
        rows = {name: self._rows(name, values, len(slots)) for name, values in tensors.items()}
        for name, values in rows.items():
            _as_rows(self._tensors[name].array)[slots] = values

    def zero(self, slots: Int64) -> None:
        """Reset rows, tensors and prefix, to those of a stream never seen."""
        self.prefix[slots] = np.zeros((), ROW_PREFIX)
        for tensor in self._tensors.values():
            tensor.array[slots] = 0

    def zero_tensors(self, slots: Int64, names: Sequence[str]) -> None:
        """Zero the named tensors of the rows; other tensors and the prefix stay."""
        for name in names:
            self._tensors[name].array[slots] = 0

    def held(self, partition: int) -> Int64:
        """Return the slots of a partition's streams, int64 [n], in the order of `streams`."""
        return self._index(partition).held()

    def free_partition(self, partition: int) -> int:
        """Remove every stream of a partition; return how many there were."""
        index = self._indexes.pop(partition, None)
        if index is None:
            return 0
        self.release(index.held())
        return len(index)

    def detach(self, partition: int, before_timestamp: int) -> tuple[list[bytes], Int64]:
        """Remove the streams whose last accepted reading is older than `before_timestamp` (ms), but
        keep their rows: `attach` undoes this until `release` is called.

        Returns the streams and their slots [streams].
        """
        index = self._indexes.get(partition)
        if index is None:
            return [], np.empty(0, np.int64)
        held = index.held()
        old = self.prefix["last_timestamp"][held] < before_timestamp
        streams = [stream for stream, is_old in zip(index, old.tolist(), strict=True) if is_old]
        index.remove(streams)
        return streams, held[old]

    def detach_streams(self, partition: int, streams: Sequence[bytes]) -> tuple[list[bytes], Int64]:
        """Like `detach`, for the given streams; unknown ones are ignored."""
        index = self._index(partition)
        known = [stream for stream in dict.fromkeys(streams) if stream in index]
        slots = np.array([index[stream] for stream in known], np.int64)
        index.remove(known)
        return known, slots

    def attach(self, partition: int, streams: Sequence[bytes], slots: Int64) -> None:
        """Give streams back the rows that `detach` or `detach_streams` took from them."""
        self._index(partition).put(streams, slots)

    def release(self, slots: Int64) -> None:
        """Zero detached rows and make their slots available to other streams."""
        self.zero(slots)
        self._free.extend(slots.tolist())

    def remove(self, partition: int, streams: Sequence[bytes]) -> int:
        """Remove the given streams, ignoring unknown ones; return how many were removed."""
        known, slots = self.detach_streams(partition, streams)
        self.release(slots)
        return len(known)

    def count(self, partition: int) -> int:
        """Return the number of streams in a partition."""
        return len(self._indexes.get(partition, ()))

    def newest(self, partition: int) -> int:
        """Return the latest accepted time stamp in a partition, ms; 0 if it has no streams."""
        index = self._indexes.get(partition)
        return int(self.prefix["last_timestamp"][index.held()].max()) if index else 0

    def partitions(self) -> list[int]:
        """Return the partitions with at least one stream, ascending."""
        return sorted(partition for partition, index in self._indexes.items() if index)

    def streams(self, partition: int) -> list[bytes]:
        """Return the streams of a partition in order of arrival."""
        return list(self._indexes.get(partition, ()))

    def _allocate(self, count: int) -> Int64:
        """Return slots of zeroed rows: the most recently released ones first, then unused ones."""
        reused = min(count, len(self._free))
        if self._unused + count - reused > len(self.prefix):
            self._grow(self._unused + count - reused)
        again = [self._free.pop() for _ in range(reused)]
        fresh = np.arange(self._unused, self._unused + count - reused)
        self._unused += len(fresh)
        return np.concatenate([np.array(again, np.int64), fresh])

    def _grow(self, rows: int) -> None:
        """Double until `rows` fit, or grow to exactly `rows` if doubling fails.
        Raises MemoryError."""
        capacity = max(len(self.prefix), 1)
        while capacity < rows:
            capacity *= 2
        try:
            self._resize(capacity)
        except MemoryError:
            self._resize(rows)

    def _resize(self, rows: int) -> None:
        """Grow every array. The prefix comes last because its length counts as the capacity,
        also after a failure."""
        for array in (*self._tensors.values(), self._prefix):
            array.grow(rows)

    def _index(self, partition: int) -> StreamIndex:
        index = self._indexes.get(partition)
        if index is None:
            index = self._indexes[partition] = StreamIndex()
        return index

    def _rows(self, name: str, values: NDArray[Any], n: int) -> NDArray[np.void]:
        tensor = self._tensors[name].array
        if values.shape != (n, *self._shapes[name]):
            raise ValueError(
                f"state {name}: expected shape {(n, *self._shapes[name])}, found {values.shape}"
            )
        if values.dtype != tensor.dtype:
            raise TypeError(f"state {name}: expected {tensor.dtype}, found {values.dtype}")
        return _as_rows(np.ascontiguousarray(values))


def _as_rows(array: NDArray[Any]) -> NDArray[np.void]:
    """View [n, ...] as [n] opaque rows: numpy then copies each row in one piece, twice as fast."""
    entries = math.prod(array.shape[1:])
    return (
        array.reshape(len(array), entries)
        .view(f"V{array.dtype.itemsize * entries}")
        .reshape(len(array))
    )
