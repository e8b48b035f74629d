"""Read a changelog partition as of one of its commits, even while a service is writing to it.

A commit writes rows and then the marker in one transaction. Records before a marker are therefore
complete; records after the last marker are left out, because they may be part of an unfinished
commit.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np

from eddycast.service.broker.port import Reader
from eddycast.service.errors import BrokerUnavailable, StateError
from eddycast.service.records import PartitionBatch
from eddycast.service.state.changelog import MARKER_KEY, Marker, RowCodec, Rows, is_stream
from eddycast.service.state.changelog_errors import check_readable

#: Maximum records of a poll, and its timeout, s.
_RECORDS, _POLL_S = 20_000, 0.5
_Record = tuple[int, bytes | None]


@dataclass(slots=True)
class _Cut:
    """Last record of each key read so far: up to the last marker, and after it."""

    whole: dict[bytes, _Record] = field(default_factory=dict)
    after: dict[bytes, _Record] = field(default_factory=dict)

    def add(self, batch: PartitionBatch, rows: bool = True) -> None:
        check_readable(batch)
        for key, value, offset in zip(
            batch.keys, batch.values, batch.offsets.tolist(), strict=True
        ):
            if not rows and is_stream(key):
                continue
            self.after[key or b""] = (offset, value)
            if key == MARKER_KEY:
                self.whole |= self.after
                self.after = {}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The last record of each key in a partition, without tombstones."""

    records: PartitionBatch

    @property
    def partition(self) -> int:
        return self.records.partition

    @property
    def streams(self) -> list[bytes]:
        """All streams that have a row."""
        return [key for key in self.records.keys if key is not None and is_stream(key)]

    def offset(self, stream: bytes) -> int:
        """Return the offset of a stream's row; raises ValueError if it has none."""
        return int(self.records.offsets[self.records.keys.index(stream)])

    def one(self, stream: bytes, codec: RowCodec) -> Rows:
        """Decode one stream's row and the partition's records.
        Raises StateError if they cannot be decoded."""
        return codec.decode(_taken(self.records, [*self._about, self.records.keys.index(stream)]))

    def rows(self, codec: RowCodec) -> Rows:
        """Decode all rows.

        Raises StateError for a record that cannot be decoded,
        and if the number of rows differs from the marker.
        """
        rows = codec.decode(self.records)
        expected = 0 if rows.marker is None else rows.marker.streams
        if len(rows.streams) != expected:
            what = (
                f"{self.records.topic} partition {self.partition} "
                f"holds rows of {len(rows.streams)} streams"
            )
            raise StateError(
                f"{what}, but its marker counts {expected}",
                "records were deleted, or an import was interrupted: start the import over",
            )
        return rows

    def marker(self, codec: RowCodec) -> Marker | None:
        """Decode the marker of the last commit; None if there was none. Raises StateError."""
        return codec.decode(_taken(self.records, self._about)).marker

    def describes(self, codec: RowCodec) -> bool:
        """True if the partition describes the layout that the codec writes."""
        about = codec.decode(_taken(self.records, self._about))
        return codec.layout in about.recorded.layouts

    @property
    def _about(self) -> list[int]:
        """Indexes of records that are not rows."""
        return [i for i, key in enumerate(self.records.keys) if not is_stream(key)]


def snapshots(
    reader: Reader, topic: str, partitions: Collection[int], patience_s: float, *, rows: bool = True
) -> Iterator[Snapshot]:
    """Yield each partition of a changelog up to its current end;
    without `rows`, only its other records.

    `reader` reads `topic`. Raises BrokerUnavailable if nothing arrives for `patience_s`,
    which is due to an open transaction.
    """
    first, end = reader.first(partitions), reader.end(partitions)
    for partition in partitions:
        reader.start({partition: first[partition]})
        yield _snapshot(reader, topic, partition, end[partition], patience_s, rows)
        reader.stop([partition])


def _snapshot(
    reader: Reader, topic: str, partition: int, end: int, patience_s: float, rows: bool
) -> Snapshot:
    cut, position = _Cut(), -1
    deadline = time.monotonic() + patience_s
    while reader.position(partition) < end:
        for batch in reader.poll(_POLL_S, _RECORDS):
            cut.add(batch, rows)
        if reader.position(partition) > position:
            deadline, position = time.monotonic() + patience_s, reader.position(partition)
        elif time.monotonic() > deadline:
            what = (
                f"{topic} partition {partition} cannot be read past "
                f"offset {position}: a transaction is open there"
            )
            raise BrokerUnavailable(what, "retry once the broker has aborted it after its timeout")
    kept = {key: record for key, record in cut.whole.items() if record[1] is not None}
    return Snapshot(_batch(topic, partition, kept))


def _batch(topic: str, partition: int, records: dict[bytes, _Record]) -> PartitionBatch:
    offsets = np.array([offset for offset, _ in records.values()], np.int64)
    values = [value for _, value in records.values()]
    return PartitionBatch(topic, partition, list(records), values, np.zeros_like(offsets), offsets)


def _taken(batch: PartitionBatch, which: list[int]) -> PartitionBatch:
    keys, values = [batch.keys[i] for i in which], [batch.values[i] for i in which]
    return PartitionBatch(
        batch.topic, batch.partition, keys, values, batch.timestamps[which], batch.offsets[which]
    )
