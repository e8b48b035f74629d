"""The wanted fields of a batch of Avro records, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eddycast.service.formats.avro_columns import AvroColumns, NotColumns
from eddycast.service.formats.avro_frame import SIZES, schema_id_of
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.formats.columns import Contents, Tokens, listed
from eddycast.service.formats.json_observation import VALUE_LIMIT_BYTES
from eddycast.service.formats.mapping_structs import Column
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.records import Int64


@dataclass(frozen=True, slots=True)
class AvroRows:
    """Records by what was wanted of them: a column for each place."""

    columns: Mapping[Tokens, Contents]
    count: int

    def __len__(self) -> int:
        return self.count

    def select(self, at: Sequence[int]) -> AvroRows:
        """The records at these indexes."""
        return AvroRows({tokens: _some(own, at) for tokens, own in self.columns.items()}, len(at))


def _some(found: Contents, at: Sequence[int]) -> Contents:
    return found[at] if isinstance(found, np.ndarray) else [found[i] for i in at]


#: Readings before their columns are read: msgspec structs or dicts, or Avro records.
Objects = Sequence[Any] | AvroRows


class AvroEntries:
    """Reads records of any number of schemas as columns."""

    def __init__(self, reader: AvroReader, wanted: Sequence[Tokens]) -> None:
        self._reader, self._wanted = reader, list(dict.fromkeys(wanted))
        self._columns: dict[bytes, AvroColumns | None] = {}  # by frame; None = not as columns
        #: Readers of `AvroRows` by the place that they read.
        self.columns: dict[Tokens, Column] = {tokens: _column(tokens) for tokens in self._wanted}

    def read(self, values: Sequence[bytes | None]) -> tuple[AvroRows, Int64]:
        """The records that could be read, and their rows, rising."""
        whole: dict[Tokens, Contents] = dict.fromkeys(self._wanted, [ABSENT] * len(values))
        read = np.zeros(len(values), np.bool_)
        rows = _allowed(values)
        while len(rows):
            first = values[rows[0]] or b""
            frame = first[: SIZES.get(first[:1], 0)]
            if (columns := self._columns_of(frame)) is None:
                rows = [row for row in rows if not _begins(values[row] or b"", frame)]
                continue
            is_whole = len(rows) == len(values)
            own = values if is_whole else [values[row] for row in rows]
            found, bad, others = columns.read(list(filter(None, own)), frame)
            at, good = np.array(rows), ~(bad | others)
            read[at[good]] = True
            if is_whole and not others.any():
                whole = found
            else:
                _merge(whole, found, at[good].tolist(), np.flatnonzero(good).tolist())
            rows = at[others].tolist()
        at = np.flatnonzero(read)
        entries = AvroRows(whole, len(values))
        return entries if read.all() else entries.select(at.tolist()), at

    def _columns_of(self, frame: bytes) -> AvroColumns | None:
        """None where records are read one by one, which finds the reason as well."""
        if frame not in self._columns:
            try:
                schema = self._reader.schema(schema_id_of(frame)[0])
            except ValueError:  # not remembered: a schema may be registered later
                return None
            try:
                self._columns[frame] = AvroColumns(schema, self._wanted)
            except NotColumns:
                self._columns[frame] = None
        return self._columns[frame]


def _allowed(values: Sequence[bytes | None]) -> Sequence[int]:
    """The rows of values of an allowed size."""
    if all(values) and max(map(len, filter(None, values)), default=0) <= VALUE_LIMIT_BYTES:
        return range(len(values))
    return [row for row, value in enumerate(values) if value and len(value) <= VALUE_LIMIT_BYTES]


def _begins(value: bytes, frame: bytes) -> bool:
    return value.startswith(frame) if frame else value[:1] not in SIZES


def _merge(
    whole: dict[Tokens, Contents],
    found: Mapping[Tokens, Contents],
    rows: Sequence[int],
    at: Sequence[int],
) -> None:
    """Put what was found at some indexes into rows of the whole."""
    for tokens, column in found.items():
        whole[tokens] = merged = list(listed(whole[tokens]))
        column = listed(column)
        for row, i in zip(rows, at, strict=True):
            merged[row] = column[i]


def _column(tokens: Tokens) -> Column:
    return lambda rows: rows.columns[tokens]
