"""Slots and memory. One array for each tensor of the state, one row a stream; an index of streams a partition.

The arena knows tensor specs and `records.PREFIX` and nothing of what they mean. Gather and scatter are
inverses; every row that belongs to no stream is all zeros, so a new stream starts as the contract says.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.records import PREFIX, Int64
from service.state.growing import Growing

_INT_BYTES = 32  # of one slot number in an index, as allocated
_KEY_BYTES = 48  # of one stream's name on top of its length: header and rounding, as allocated


class Spec(Protocol):
    """One tensor of a stream's state; `shape` is without the batch dimension."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class _Index(dict[bytes, int]):
    """Stream -> slot of one partition."""

    __slots__ = ("name_bytes",)

    def __init__(self) -> None:
        super().__init__()
        self.name_bytes = 0

    def remove(self, streams: Iterable[bytes]) -> None:
        for stream in streams:
            del self[stream]
            self.name_bytes -= len(stream)

    def put(self, streams: Sequence[bytes], slots: Int64) -> None:
        self.update(zip(streams, slots.tolist(), strict=True))
        self.name_bytes += sum(map(len, streams))

    def held(self) -> Int64:
        """Slots of all streams, in the order of the streams."""
        return np.fromiter(self.values(), np.int64, len(self))


class Arena:
    """State rows of all streams of the partitions held here. Slots stay valid until their stream is evicted
    or its partition freed. Not thread-safe."""

    def __init__(self, specs: Sequence[Spec], capacity: int = 1024) -> None:
        """Room for `capacity` streams at first; it doubles when full."""
        self._shapes = {spec.name: tuple(spec.shape) for spec in specs}
        self._tensors = {s.name: Growing(capacity, tuple(s.shape), np.dtype(s.dtype)) for s in specs}
        self._prefix = Growing(capacity, (), PREFIX)
        self._indexes: dict[int, _Index] = {}
        self._free: list[int] = []  # slots given back; those from `_unused` on were never given out
        self._unused = 0

    def __len__(self) -> int:
        return sum(map(len, self._indexes.values()))

    @property
    def prefix(self) -> NDArray[np.void]:
        """`records.PREFIX` [capacity], to index by slot. Ask anew after `slots`: growing replaces it."""
        return self._prefix.array

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, used or not, and about those of the index."""
        rows = self.prefix.nbytes + sum(tensor.array.nbytes for tensor in self._tensors.values())
        index = sum(
            sys.getsizeof(index) + index.name_bytes + len(index) * (_INT_BYTES + _KEY_BYTES)
            for index in self._indexes.values()
        )
        return rows + index + sys.getsizeof(self._free) + len(self._free) * _INT_BYTES

    @property
    def free(self) -> int:
        """Streams that there is room for without more memory."""
        return len(self._free) + len(self.prefix) - self._unused

    def reserve(self, streams: int) -> bool:
        """Make room for so many new streams; False where the system has no memory for them."""
        if streams <= self.free:
            return True
        try:
            self._grow(self._unused + streams - len(self._free))
        except MemoryError:
            return False
        return True

    def slots(self, partition: int, streams: Sequence[bytes]) -> Int64:
        """The slot of each stream, int64 [n]; a stream not known yet is given one, all zeros. Raises MemoryError."""
        index = self._index(partition)
        found = list(map(index.get, streams))
        if None in found:
            new = list(dict.fromkeys(stream for stream, slot in zip(streams, found, strict=True) if slot is None))
            slots = self._allocate(len(new))
            index.put(new, slots)
            if len(new) == len(streams):
                return slots
            found = list(map(index.get, streams))
        return np.array(found, np.int64)

    def known(self, partition: int, streams: Sequence[bytes]) -> Int64:
        """The slot of each stream, int64 [n]; -1 for one not known, which is given none."""
        index = self._index(partition)
        return np.fromiter((index.get(stream, -1) for stream in streams), np.int64, len(streams))

    def find(self, partition: int, stream: bytes) -> int | None:
        """The slot of a known stream, else None."""
        index = self._indexes.get(partition)
        return None if index is None else index.get(stream)

    def gather(self, slots: Int64, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Copies of the rows, tensor name -> [n, ...]; all tensors or those of `names`."""
        return {
            name: self._tensors[name].array.take(slots, axis=0) for name in (self._tensors if names is None else names)
        }

    def scatter(self, slots: Int64, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Store rows, tensor name -> [n, ...]. Raises KeyError for an unknown name, ValueError for a wrong
        shape, TypeError for another dtype; nothing is stored then."""
        rows = {name: self._rows(name, values, len(slots)) for name, values in tensors.items()}
        for name, values in rows.items():
            _as_rows(self._tensors[name].array)[slots] = values

    def zero(self, slots: Int64) -> None:
        """Make the rows, tensors and prefix, those of streams never seen."""
        self.prefix[slots] = np.zeros((), PREFIX)
        for tensor in self._tensors.values():
            tensor.array[slots] = 0

    def blank(self, slots: Int64, names: Sequence[str]) -> None:
        """Make these tensors of the rows zeros; the others and the prefix stay."""
        for name in names:
            self._tensors[name].array[slots] = 0

    def held(self, partition: int) -> Int64:
        """Slots of a partition's streams, in the order of `streams`."""
        return self._index(partition).held()

    def free_partition(self, partition: int) -> int:
        """Forget every stream of a partition; how many there were."""
        index = self._indexes.pop(partition, None)
        if index is None:
            return 0
        self.release(index.held())
        return len(index)

    def evict(self, partition: int, before_timestamp: int) -> list[bytes]:
        """Forget the streams whose last accepted reading is older than `before_timestamp` (ms), and name them.

        Their slots go to other streams: hold none across this call."""
        streams, slots = self.detach(partition, before_timestamp)
        self.release(slots)
        return streams

    def detach(self, partition: int, before_timestamp: int) -> tuple[list[bytes], Int64]:
        """As `evict`, but the rows stay what they are: until `release`, `attach` undoes it."""
        index = self._indexes.get(partition)
        if index is None:
            return [], np.empty(0, np.int64)
        held = index.held()
        old = self.prefix["last_timestamp"][held] < before_timestamp
        streams = [stream for stream, is_old in zip(index, old.tolist(), strict=True) if is_old]
        index.remove(streams)
        return streams, held[old]

    def withdraw(self, partition: int, streams: Sequence[bytes]) -> tuple[list[bytes], Int64]:
        """As `detach`, of those of these streams that are known."""
        index = self._index(partition)
        known = [stream for stream in dict.fromkeys(streams) if stream in index]
        slots = np.array([index[stream] for stream in known], np.int64)
        index.remove(known)
        return known, slots

    def attach(self, partition: int, streams: Sequence[bytes], slots: Int64) -> None:
        """These streams have the rows that `detach` took from them."""
        self._index(partition).put(streams, slots)

    def release(self, slots: Int64) -> None:
        """Rows of no stream any more: zeroed, and given to other streams."""
        self.zero(slots)
        self._free.extend(slots.tolist())

    def remove(self, partition: int, streams: Sequence[bytes]) -> int:
        """Forget these streams, those that are known; how many were."""
        known, slots = self.withdraw(partition, streams)
        self.release(slots)
        return len(known)

    def count(self, partition: int) -> int:
        """Streams of a partition."""
        return len(self._indexes.get(partition, ()))

    def newest(self, partition: int) -> int:
        """The largest last accepted stamp of a partition's streams, ms; 0 when it has none."""
        index = self._indexes.get(partition)
        return int(self.prefix["last_timestamp"][index.held()].max()) if index else 0

    def partitions(self) -> list[int]:
        """Partitions with at least one stream, ascending."""
        return sorted(partition for partition, index in self._indexes.items() if index)

    def streams(self, partition: int) -> list[bytes]:
        """Streams of a partition, in the order in which they came."""
        return list(self._indexes.get(partition, ()))

    def _allocate(self, count: int) -> Int64:
        """Slots of rows that are all zeros: those given back first, the last one first."""
        reused = min(count, len(self._free))
        if self._unused + count - reused > len(self.prefix):
            self._grow(self._unused + count - reused)
        again = [self._free.pop() for _ in range(reused)]
        fresh = np.arange(self._unused, self._unused + count - reused)
        self._unused += len(fresh)
        return np.concatenate([np.array(again, np.int64), fresh])

    def _grow(self, rows: int) -> None:
        """Double until there is room, or make just the room where there is no memory to double. Raises MemoryError."""
        capacity = max(len(self.prefix), 1)
        while capacity < rows:
            capacity *= 2
        try:
            self._resize(capacity)
        except MemoryError:
            self._resize(rows)

    def _resize(self, rows: int) -> None:
        """The prefix comes last: its length is how many rows there are, also when memory runs out on the way."""
        for array in (*self._tensors.values(), self._prefix):
            array.grow(rows)

    def _index(self, partition: int) -> _Index:
        index = self._indexes.get(partition)
        if index is None:
            index = self._indexes[partition] = _Index()
        return index

    def _rows(self, name: str, values: NDArray[Any], n: int) -> NDArray[np.void]:
        tensor = self._tensors[name].array
        if values.shape != (n, *self._shapes[name]):
            raise ValueError(f"state {name}: expected shape {(n, *self._shapes[name])}, found {values.shape}")
        if values.dtype != tensor.dtype:
            raise TypeError(f"state {name}: expected {tensor.dtype}, found {values.dtype}")
        return _as_rows(np.ascontiguousarray(values))


def _as_rows(array: NDArray[Any]) -> NDArray[np.void]:
    """[n, ...] seen as [n] opaque rows, which numpy moves in one piece each: twice as fast."""
    entries = math.prod(array.shape[1:])
    return array.reshape(len(array), entries).view(f"V{array.dtype.itemsize * entries}").reshape(len(array))
