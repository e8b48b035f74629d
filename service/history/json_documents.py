"""Readings inside of JSON documents, as answers of web services hold them: a list of objects, lists
by column, or pairs of a stamp and a value."""

from __future__ import annotations

from typing import Any

from eddycast.service.errors import DataError
from eddycast.service.history.column_words import is_time_word, zone_word
from eddycast.service.history.forms import looks_like_time

Row = dict[str, Any]
#: Order of a pair by the name of its list: Prometheus and Graphite.
_PAIRS = {"values": ("time", "value"), "datapoints": ("value", "time")}
#: Number of records by which a file is judged.
_SEEN = 20


def rows_of(records: list[Row]) -> list[Row]:
    """A record for each reading. Records that have a time of their own are unchanged.
    Raises DataError for a document of several tables."""
    if len(records) == 1:
        return _expanded(records[0], alone=True)
    if all(_has_time(record) or _expanded(record) == [record] for record in records[:_SEEN]):
        return records
    return [row for record in records for row in _expanded(record)]


def _expanded(record: Row, alone: bool = False) -> list[Row]:
    """The readings inside of a record, with what stands beside them; `alone` marks the only
    record of a file."""
    if columns := _by_column(record):
        beside = {name: each for name, each in record.items() if name not in columns}
        kept = _beside(beside, alone)
        return [
            {**kept, **dict(zip(columns, row, strict=True))}
            for row in zip(*columns.values(), strict=True)
        ]
    tables = {name: rows for name, each in record.items() if (rows := _inside(name, each, alone))}
    if not tables:
        return [record]
    if len(tables) > 1:
        raise DataError(
            f"the JSON document has several tables: {', '.join(tables)}",
            "keep one of them, or convert it to CSV",
        )
    (name, rows), *_ = tables.items()
    beside = {key: each for key, each in record.items() if key != name}
    kept = _beside(beside, alone)
    return [{**kept, **row} for row in rows]


def _inside(name: str, value: Any, alone: bool) -> list[Row]:
    """The readings in one field of a record; empty without any."""
    if isinstance(value, dict):
        rows = _expanded(value, alone)
        return [] if len(rows) == 1 and rows[0] is value else rows
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(each, dict) for each in value):
        return [row for each in value for row in _expanded(each)]
    if name in _PAIRS and all(isinstance(each, list) and len(each) == 2 for each in value):
        return [dict(zip(_PAIRS[name], each, strict=True)) for each in value]
    return []


def _by_column(record: Row) -> dict[str, list[Any]]:
    """The lists of a record that are columns: of one length, one of them of times."""
    lists = {name: each for name, each in record.items() if isinstance(each, list) and each}
    times = [name for name in lists if is_time_word(name) or is_time_word(name.removesuffix("s"))]
    if not times:
        return {}
    return {name: each for name, each in lists.items() if len(each) == len(lists[times[0]])}


def _beside(record: Row, alone: bool) -> Row:
    """The fields beside a list of readings: all but lists, or only the time zone of a document that
    is `alone`, where all other fields are the same for all readings."""
    return {
        name: each
        for name, each in record.items()
        if (isinstance(each, str) and zone_word(name) if alone else not isinstance(each, list))
    }


def _has_time(record: Row) -> bool:
    """True for a record with a time outside of its lists."""
    return any(
        _has_time(each)
        if isinstance(each, dict)
        else (isinstance(each, str) and looks_like_time(each))
        or (is_time_word(name) and not isinstance(each, list))
        for name, each in record.items()
    )
