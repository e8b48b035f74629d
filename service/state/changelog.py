"""A stream's row as a record of the changelog, and back. Whole columns both ways; no broker, clock or log.

The changelog is a compacted topic with a partition for each of the input's. Its records are

    key a stream's name      value a row: HEAD, then `records.PREFIX`, then the model's tensors
    key a stream's name      no value: the stream was forgotten
    key MARKER               value a marker: HEAD, then how far the input was done when this was written

A row is of fixed width, so a million of them are read by one call. HEAD says whose bytes they are: a mark, the
contract's version, and the layout that wrote them. What does not fit is named and never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from service.bundle import CONTRACT, Manifest
from service.errors import StateError
from service.records import PREFIX, PartitionBatch
from service.state.arena import Spec

#: Key of the marker. Names of streams are UTF-8, in which this byte does not occur.
MARKER_KEY: Final = b"\xffmarker"
MARK: Final = b"EDDY"
HEAD: Final = np.dtype([("mark", "S4"), ("contract", "<u2"), ("layout", "S16")])
_MARKER: Final = np.dtype([("head", HEAD), ("next_offset", "<i8"), ("streams", "<i8"), ("newest", "<i8")])
_ANEW = "begin anew with another changelog topic and group"


@dataclass(frozen=True, slots=True)
class Marker:
    """What the commit that wrote a partition's rows says of it."""

    next_offset: int  # of the input
    streams: int  # that had a row then
    newest: int  # the largest stamp read so far, ms


@dataclass(frozen=True, slots=True)
class Rows:
    """The last word on each stream in a batch of the changelog, in columns."""

    streams: list[bytes]
    prefix: NDArray[np.void]  # records.PREFIX [n]
    tensors: dict[str, NDArray[Any]]  # [n, ...]
    gone: list[bytes]
    marker: Marker | None


def layout_of(model: str) -> str:
    """Names the shape of a stored row: the layout of the model's part (`Manifest.layout_id`) and our own prefix."""
    return hashlib.sha256(f"{model} {PREFIX.descr}".encode()).hexdigest()[:16]


def row_bytes(manifest: Manifest) -> int:
    """Bytes of one stream's record, without its key."""
    return RowCodec(manifest.state, manifest.layout_id).row_bytes


class RowCodec:
    """Rows of one layout."""

    def __init__(self, specs: Sequence[Spec], model_layout: str) -> None:
        #: Names the shape of a row; rows with the same id may be exchanged.
        self.layout = layout_of(model_layout)
        self._names = [spec.name for spec in specs]
        tensors = [(f"state.{spec.name}", spec.dtype, tuple(spec.shape)) for spec in specs]
        self._row = np.dtype([("head", HEAD), ("prefix", PREFIX), *tensors])
        self._head = np.array((MARK, CONTRACT, self.layout.encode()), HEAD)

    @property
    def row_bytes(self) -> int:
        """Bytes of one stream's record, without its key."""
        return self._row.itemsize

    def encode(self, prefix: NDArray[np.void], tensors: Mapping[str, NDArray[Any]]) -> list[bytes]:
        """A value for each row: `prefix` PREFIX [n], `tensors` name -> [n, ...]."""
        rows = np.empty(len(prefix), self._row)
        rows["head"], rows["prefix"] = self._head, prefix
        for name in self._names:
            rows[f"state.{name}"] = tensors[name]
        size, joined = self._row.itemsize, rows.tobytes()
        return [joined[start : start + size] for start in range(0, len(joined), size)]

    def encode_marker(self, marker: Marker) -> bytes:
        """The marker's value."""
        return np.array((self._head, marker.next_offset, marker.streams, marker.newest), _MARKER).tobytes()

    def decode(self, batch: PartitionBatch) -> Rows:
        """The last record of each key. Raises StateError naming the first that this layout did not write."""
        check_readable(batch)
        last: dict[bytes | None, int] = dict(zip(batch.keys, range(len(batch)), strict=True))
        marker = last.pop(MARKER_KEY, None)
        for nothing in (None, b""):
            if nothing in last:
                raise self._foreign(batch, last[nothing], "a record without a key")
        keys = cast(list[bytes], list(last))
        said = [batch.values[i] for i in last.values()]
        gone = [key for key, value in zip(keys, said, strict=True) if value is None] if None in said else []
        if gone:
            last = {key: i for key, i in last.items() if batch.values[i] is not None}
            keys, said = cast(list[bytes], list(last)), [value for value in said if value is not None]
        rows = self._rows(batch, last.values(), cast(list[bytes], said))
        tensors = {name: rows[f"state.{name}"] for name in self._names}
        return Rows(keys, rows["prefix"], tensors, gone, None if marker is None else self._marker(batch, marker))

    def _rows(self, batch: PartitionBatch, where: Iterable[int], values: list[bytes]) -> NDArray[np.void]:
        """`values` stand at `where` of the batch."""
        if set(map(len, values)) <= {self._row.itemsize}:
            rows = np.frombuffer(b"".join(values), self._row)
            if (rows["head"] == self._head).all():
                return rows
        for i in where:
            self._check(batch, i, self._row.itemsize)
        return np.frombuffer(b"".join(values), self._row)

    def _marker(self, batch: PartitionBatch, i: int) -> Marker:
        self._check(batch, i, _MARKER.itemsize)
        found = np.frombuffer(batch.values[i] or b"", _MARKER)[0]
        return Marker(int(found["next_offset"]), int(found["streams"]), int(found["newest"]))

    def _check(self, batch: PartitionBatch, i: int, size: int) -> None:
        """Raise StateError unless this record is ours and whole."""
        value = batch.values[i] or b""
        if len(value) < HEAD.itemsize or not value.startswith(MARK):
            raise self._foreign(batch, i, f"{len(value)} bytes that Eddycast did not write")
        head = np.frombuffer(value[: HEAD.itemsize], HEAD)[0]
        contract, layout = int(head["contract"]), head["layout"].decode("ascii", "replace")
        if contract != CONTRACT:
            what = f"contract version {contract}, and this service knows {CONTRACT}"
            raise StateError(f"{_where(batch, i)}: {what}", "serve it with the version of Eddycast that wrote it")
        if layout != self.layout:
            what = f"rows of layout {layout}, and the bundle's rows have layout {self.layout}"
            raise StateError(f"{_where(batch, i)}: {what}", f"serve the bundle that wrote them; or {_ANEW}")
        if len(value) != size:
            raise self._foreign(batch, i, f"a torn record: {len(value)} bytes of {size}")

    def _foreign(self, batch: PartitionBatch, i: int, what: str) -> StateError:
        return StateError(f"{_where(batch, i)}: {what}", _ANEW)


def check_readable(batch: PartitionBatch) -> None:
    """Raise StateError if a record batch of the changelog cannot be read: rows are in it, or their removal."""
    for damage in batch.damaged.values():
        what = f"{batch.topic} partition {batch.partition}: {damage.reason}"
        raise StateError(what, f"raise kafka.unpacked_bytes if that is why; else {_ANEW}")


def _where(batch: PartitionBatch, i: int) -> str:
    return f"{batch.topic} partition {batch.partition} offset {int(batch.offsets[i])} key {batch.keys[i]!r}"
