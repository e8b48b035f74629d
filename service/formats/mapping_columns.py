"""The fast path of a mapping: records of the common shapes, read as whole columns.

The fields that a mapping names become nested msgspec structs, so that a document is parsed in C and
nothing else of it becomes a Python object. A record that differs in any way from what is expected
(an absent field, text in place of a number, a name that is no stream) is left to `Mapping.read`,
which gives the same readings, or the reasons why there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.column_entries import BatchEntries, Entries
from eddycast.service.formats.column_fields import Fields, all_fields, named_fields
from eddycast.service.formats.column_names import Name, StreamNames
from eddycast.service.formats.column_numbers import Numbers
from eddycast.service.formats.column_stamps import StampColumns
from eddycast.service.formats.columns import Contents, Tokens, listed
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.mapping_layout import Layout
from eddycast.service.formats.reading_columns import ReadingColumns
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.mapping.sources import HEADER, Source
from eddycast.service.records import Float64, Int64, PartitionBatch


class Found(NamedTuple):
    """Result of reading a batch as columns."""

    readings: ReadingColumns
    filtered: list[int]  # row of the record of each reading that is passed over
    rest: list[int]  # rows of the records that were not read


class ColumnReader:
    """Reads the records of one mapping as columns."""

    def __init__(self, mapping: Mapping, layout: Layout) -> None:
        self.mapping, self.layout = mapping, layout
        self.names = StreamNames(mapping)
        self.numbers = Numbers(mapping.cells)
        self.stamps = StampColumns(mapping)

    def read(self, batch: PartitionBatch, latest: Int64) -> Found:
        """Read the records that are as expected."""
        return _Batch(self, batch, latest).read()


class _Batch:
    """One batch while it is read."""

    def __init__(self, reader: ColumnReader, batch: PartitionBatch, latest: Int64) -> None:
        self._reader, self._batch, self._latest = reader, batch, latest
        self._mapping, self._layout = reader.mapping, reader.layout
        self._source = BatchEntries(reader.mapping.settings, reader.layout, batch)
        self._bad = self._source.bad
        self._filtered: list[Int64] = []

    def read(self) -> Found:
        entries = self._meeting_conditions(self._source.read())
        rows = entries.rows
        stamps, wrong = self._reader.stamps.read(
            [self._column(place, entries) for place, _ in self._mapping.times],
            self._batch.timestamps[rows],
            self._latest[rows],
        )
        self._bad[rows[wrong]] = True
        read = self._fields if self._mapping.fields else self._values
        return read(entries, stamps)

    def _column(self, source: Source, entries: Entries) -> Contents:
        """Content of one place of the record, for each entry; ABSENT = nothing."""
        rows = entries.rows
        if (pointer := source.pointer) is not None:
            return self._field(pointer.tokens, entries)
        if source.name.startswith(HEADER):
            name, headers = source.name.removeprefix(HEADER), self._source.headers()
            return [headers[row].get(name, ABSENT) for row in rows.tolist()]
        if source.name == "key":
            keys = self._batch.keys
            return (
                keys
                if len(rows) == len(keys) and self._layout.readings is None
                else [keys[row] for row in rows.tolist()]
            )
        if source.name == "record":
            times: list[int] = self._batch.timestamps[rows].tolist()
            return times
        return [self._batch.topic] * len(rows)

    def _field(self, tokens: Tokens, entries: Entries) -> Contents:
        """A field of each entry, or of the document around it."""
        get = self._layout.columns[tokens]
        column = get(entries.objects)
        if self._layout.readings is None or not self._layout.each or ABSENT not in column:
            return column
        around = get(self._source.documents)
        at = np.searchsorted(self._source.rows, entries.rows).tolist()
        return [
            around[i] if found is ABSENT else found for found, i in zip(column, at, strict=True)
        ]

    def _meeting_conditions(self, entries: Entries) -> Entries:
        """The entries that meet all conditions; others are passed over."""
        for condition in self._layout.conditions:
            column = listed(self._column(condition.place, entries))
            if condition.place.name == "key":
                column = self._reader.names.keys(column)
            met = np.fromiter(map(condition.accepts, column), np.bool_, len(column))
            if not met.all():
                self._filtered.append(entries.rows[~met])
                entries = entries.select(np.flatnonzero(met))
        return entries

    def _values(self, entries: Entries, stamps: Int64) -> Found:
        """Read each entry as one reading."""
        read, rows = self._reader.numbers.read, entries.rows
        columns = [
            read(self._layout.columns[pointer.tokens](entries.objects))
            for pointer in self._mapping.values
        ]
        for _, wrong in columns:
            self._bad[rows[wrong]] = True
        values = np.stack([numbers for numbers, _ in columns], axis=1)
        return self._found(rows, self._names(entries, None), stamps, values, entries.places)

    def _fields(self, entries: Entries, stamps: Int64) -> Found:
        """Read each field of each entry as one reading."""
        is_wild = self._layout.entries is not None
        find = all_fields if is_wild else named_fields
        fields = find(self._mapping, self._layout, entries.objects)
        self._bad[entries.rows[fields.without]] = True
        numbers, wrong, passed = self._reader.numbers.read_some(fields.values, wild=is_wild)
        self._bad[entries.rows[fields.at[wrong]]] = True
        if passed.any():
            self._filtered.append(entries.rows[fields.at[passed]])
            kept = np.flatnonzero(~passed)
            fields, numbers = fields.select(kept), numbers[kept]
        names = self._names(entries, fields)
        places = [
            entries.places[i] + path
            for i, path in zip(fields.at.tolist(), fields.paths, strict=True)
        ]
        at = fields.at
        return self._found(entries.rows[at], names, stamps[at], numbers[:, None], places)

    def _names(self, entries: Entries, fields: Fields | None) -> list[Name]:
        """Name of each reading's stream."""
        columns: list[Sequence[Any]] = []
        for source in self._mapping.template.sources:
            if source.name == "field" and fields is not None:
                columns.append(fields.names)
                continue
            column = listed(self._column(source, entries))
            columns.append(column if fields is None else [column[i] for i in fields.at.tolist()])
        return self._reader.names.read(columns)

    def _found(
        self, rows: Int64, names: list[Name], stamps: Int64, values: Float64, places: list[str]
    ) -> Found:
        """Leave out readings that are not served, and records that are not as expected."""
        if None in names:
            self._bad[rows[[i for i, name in enumerate(names) if name is None]]] = True
        served = np.ones(len(names), np.bool_)
        if self._mapping.filters:
            served = np.fromiter((name is not False for name in names), np.bool_, len(names))
        filtered = np.concatenate([*self._filtered, rows[~served]])
        filtered = filtered[~self._bad[filtered]]
        keep: NDArray[np.bool_] = served & ~self._bad[rows]
        if not keep.all():
            at = np.flatnonzero(keep).tolist()
            rows, stamps, values = rows[keep], stamps[keep], values[keep]
            names, places = [names[i] for i in at], [places[i] for i in at]
        streams: list[bytes] = names  # type: ignore[assignment]
        readings = ReadingColumns(rows, streams, stamps, values, places)
        return Found(readings, filtered.tolist(), np.flatnonzero(self._bad).tolist())
