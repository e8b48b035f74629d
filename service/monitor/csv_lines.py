"""Answers as CSV: the lines of the longest list in them, nested fields as columns with dots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

#: Fields of answers whose lines become lines of the table.
_LISTS = ("streams", "forecasts", "anomalies", "errors", "workers")
#: Characters that make a spreadsheet take a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(content: Mapping[str, Any]) -> bytes:
    """UTF-8 with a header line. Texts that a spreadsheet would run as a formula begin with '."""
    lines = [_flat(line) for line in _lines(content)]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(line.get(name)) for name in names] for line in lines)
    return text.getvalue().encode()


def _lines(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _LISTS:
        if isinstance(content.get(name), list):
            yield from content[name]
            return
    match content:
        case {"accuracy": list(shapes)}:
            for shape in shapes:
                yield from _windows(shape["windows"], {"interval_ms": shape["interval_ms"]})
        case {"accuracy": dict(windows), **rest} if "history" not in rest:
            yield from _windows(windows, {})
        case {"history": dict(columns)}:
            names = list(columns)
            for values in zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True):
                yield dict(zip(names, values, strict=True))
        case _:
            yield content


def _windows(windows: Mapping[str, Any], head: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    for window, lines in windows.items():
        yield from (head | {"window": window} | line for line in lines)


def _flat(line: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        elif isinstance(value, list | tuple):
            numbered = {str(i): item for i, item in enumerate(value)}
            flat |= _flat(numbered, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
