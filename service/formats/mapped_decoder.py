"""Decode records of any shape into columns of observations, as a mapping describes.

Records of the common shapes are read as columns (`mapping_columns.py`); all others, and those with
anything unusual, one by one (`mapping.py`), which also finds the reasons of dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from eddycast.service.formats.json_decoder import NEVER
from eddycast.service.formats.json_observation import EARLIEST, FAR_FUTURE_MS
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.mapping_columns import ColumnReader
from eddycast.service.formats.mapping_layout import layout_of
from eddycast.service.formats.mapping_structs import Unsupported
from eddycast.service.formats.outcomes import Reading, Record, Refused
from eddycast.service.formats.reading_columns import ReadingColumns
from eddycast.service.formats.schemas import NO_SCHEMAS, SchemaOf
from eddycast.service.records import DeadLetter, Decoding, Int64, Observations, PartitionBatch
from eddycast.service.settings.input import InputSettings
from eddycast.service.state.stream_time import Clock, latest_stamps


class MappedDecoder:
    """Decodes records as the settings describe; see `json_decoder.Decoder`."""

    def __init__(
        self,
        settings: InputSettings,
        channels: int,
        far_future_ms: int = FAR_FUTURE_MS,
        earliest_ms: int = EARLIEST,
        schema_of: SchemaOf = NO_SCHEMAS.schema_of,
    ) -> None:
        """`schema_of` knows the schemas of Avro records.
        Raises SettingsError if the mapping does not fit the number of channels."""
        self._mapping = Mapping(settings, channels, earliest_ms, schema_of)
        self._columns = _column_reader(self._mapping, settings, self._mapping.width)
        self._channels, self._far_future_ms = channels, far_future_ms

    def latest(self, batch: PartitionBatch, clock: Clock) -> Int64:
        """Return the largest timestamp that each record may have, int64 [n], ms."""
        return latest_stamps(clock, batch.timestamps, batch.offsets, self._far_future_ms)

    def decode(self, batch: PartitionBatch, latest: Int64 | None = None) -> Decoding:
        """Return the observations, a dead letter for each reading that cannot be read, and the
        readings that the settings pass over. The batch must not contain tombstones."""
        latest = self.latest(batch, NEVER) if latest is None else latest
        rest: Iterable[int] = range(len(batch))
        found, passed = ReadingColumns.of([], self._channels), list[int]()
        if self._columns is not None:
            avro = self._mapping.avro
            opened = batch if avro is None else avro.opened_batch(batch)
            found, passed, rest = self._columns.read(opened, latest)
            if (joining := self._mapping.joining) is not None:
                found = joining.columns(found)
        others, letters, filtered = self._one_by_one(batch, latest, rest)
        rows = np.array(sorted(passed + filtered), np.int64)
        observations = self._observations(batch, found.merged(others))
        return Decoding(observations, letters, batch.offsets[rows])

    def _one_by_one(
        self, batch: PartitionBatch, latest: Int64, rows: Iterable[int]
    ) -> tuple[ReadingColumns, list[DeadLetter], list[int]]:
        """Read the records at the indexes `rows`: readings, dead letters, and the index of the
        record of each reading that is passed over."""
        readings: list[tuple[int, Reading]] = []
        letters: list[DeadLetter] = []
        filtered: list[int] = []
        for row in rows:
            for outcome in self._mapping.read(record_at(batch, row, int(latest[row]))):
                if isinstance(outcome, Reading):
                    readings.append((row, outcome))
                elif isinstance(outcome, Refused):
                    why, place = outcome
                    letters.append(DeadLetter.of(batch, row, why.error, why.reason, place))
                else:
                    filtered.append(row)
        return ReadingColumns.of(readings, self._channels), letters, filtered

    def _observations(self, batch: PartitionBatch, found: ReadingColumns) -> Observations:
        return Observations(
            batch.partition,
            found.streams,
            found.timestamps,
            found.values,
            batch.timestamps[found.rows],
            batch.offsets[found.rows],
            found.places if self._mapping.may_have_several else None,
        )


def _column_reader(mapping: Mapping, settings: InputSettings, channels: int) -> ColumnReader | None:
    """The fast path of a mapping, None if it has none."""
    try:
        return ColumnReader(mapping, layout_of(mapping, settings, channels))
    except Unsupported:
        return None


def record_at(batch: PartitionBatch, row: int, latest: int) -> Record:
    """The record of a batch at an index; `latest` is the largest timestamp that it may have."""
    return Record(
        batch.topic,
        batch.keys[row],
        batch.values[row] or b"",
        batch.headers[row] if batch.headers is not None else (),
        int(batch.timestamps[row]),
        latest,
    )
