"""JSON as a table: one object per line (records of the input topic, output of `replay`),
one array of objects, or one document with readings inside.

Imports polars; use it through `eddycast.service.history`.
"""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.archives import Source
from eddycast.service.history.json_documents import rows_of
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.remarks import Table
from eddycast.service.history.text import read_text
from eddycast.service.humanize import many

#: Column of the key that a console consumer prints before the record,
#: and kcat's field around the record.
KEY, _ENVELOPE = "key", "payload"
#: Fields of a forecast, in addition to those of its reading.
_FORECAST = {"one_step", "multi_step", "surprise", "warm"}


def looks_like_json(text: bytes) -> bool:
    """True if a text begins like JSON, or with a key, a tab and an object."""
    first = text.lstrip()[:4096].partition(b"\n")[0].rstrip()
    return (
        first.startswith((b"{", b"[{"))
        or (b"\t{" in first and first.endswith(b"}"))
        or first == b"["
    )


def read_json(path: Source, options: ReadOptions) -> tuple[Table, list[str]]:
    """Read the table of a file, one row per object; nested fields are named `outer.inner`.
    Raises DataError."""
    text, notes = read_text(path, options.encoding)
    records = _records(path, text)
    found = rows_of(records)
    if len(found) != len(records):
        notes.append(f"{many(len(found), 'reading')} inside of {many(len(records), 'document')}")
    rows = [_flat(record, options) for record in found]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise DataError(f"{path}: no readings in the JSON document", "write one object per line")
    frame = pl.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})
    return Table(without_forecasts(frame, notes), path.name), notes


def without_forecasts(frame: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """The readings alone, for output of `replay` or records of the output topic;
    other tables are unchanged."""
    if not _FORECAST & set(frame.columns) or "timestamp" not in frame.columns:
        return frame
    kept = [
        name
        for name in frame.columns
        if name in ("stream", "timestamp") or name.split(".")[0] == "value"
    ]
    notes.append("file of forecasts: reading the observations in it")
    return frame.select(kept).rename({name: name.removeprefix("value.") for name in kept})


def _records(path: Source, text: bytes) -> list[Any]:
    if text.lstrip().startswith(b"["):
        return _listed(path, text)
    records: list[Any] = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        key, tab, value = line.partition(b"\t{")
        try:
            record = orjson.loads(b"{" + value if tab and not key.startswith(b"{") else line)
        except orjson.JSONDecodeError as error:
            if not records and (document := _document(text)):
                return [document]
            raise DataError(
                f"{path}, line {number}: invalid JSON: {error}", "write one object per line"
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number}: {record!r:.40} is not an object",
                "write one object per line",
            )
        records.append(
            {KEY: key.decode(errors="replace"), **record}
            if tab and not key.startswith(b"{")
            else record
        )
    return records


def _document(text: bytes) -> dict[str, Any] | None:
    """The only object of a text that spans several lines; None if it is none."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _listed(path: Source, text: bytes) -> list[Any]:
    """The objects of one array."""
    try:
        records = list(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"{path}: invalid JSON: {error}", "write one object per line, or an array of objects"
        ) from error
    if other := next((each for each in records if not isinstance(each, dict)), None):
        raise DataError(
            f"{path}: {other!r:.40} in the array is not an object", "write an array of objects"
        )
    return records


def _flat(record: dict[str, Any], options: ReadOptions, prefix: str = "") -> dict[str, Any]:
    """The fields of a record by name, nested ones as `outer.inner`; a list of numbers by channel if
    its length matches --channels, else by index."""
    if isinstance(inner := record.get(_ENVELOPE), str) and inner.startswith("{"):
        record = {KEY: record.get(KEY), **orjson.loads(inner)}
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, options, f"{prefix}{name}.")
        elif isinstance(value, list) and all(
            isinstance(each, int | float | None) for each in value
        ):
            known = len(options.channels) == len(value) and name == "value"
            places = options.channels if known else range(len(value))
            flat |= {
                str(place) if known else f"{prefix}{name}.{place}": each
                for place, each in zip(places, value, strict=True)
            }
        elif not isinstance(value, list):
            flat[prefix + name] = value
    return flat


def _column(values: list[Any]) -> pl.Series:
    """A column of numbers, or of text if any value is text."""
    if any(isinstance(value, str | bool) for value in values):
        return pl.Series(
            [None if value is None else str(value) for value in values], dtype=pl.String
        )
    return pl.Series(values, dtype=pl.Float64, strict=False)
