r"""InfluxDB line protocol: one point per line.

    cpu,host=a,region=eu usage=91.5,cores=4i,name="x y" 1700000000000000000

A line becomes the document `{"name": "cpu", "tags": {"host": "a", "region": "eu"}, "series":
"cpu,host=a,region=eu", "fields": {"usage": 91.5, "cores": 4, "name": "x y"}, "timestamp": ...}`.
Tags in `series` are sorted. Integers end in i or u, booleans are t, true, f or false; commas,
blanks, equals signs and backslashes in names are escaped by a backslash. Lines that begin with #
are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from eddycast.service.mapping.unreadable import Unreadable

_NAME = r"(?:[^\\, =]|\\.)+"
_MEASUREMENT = r"(?:[^\\, ]|\\.)+"
_STRING = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(
    rf"(?P<name>{_MEASUREMENT})(?P<tags>(?:,{_NAME}={_NAME})*) +"
    rf"(?P<fields>{_NAME}=(?:{_STRING}|[^\", ]+)(?:,{_NAME}=(?:{_STRING}|[^\", ]+))*)"
    r"(?: +(?P<time>-?\d{1,24}))? *",
    re.DOTALL,
)
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf",?({_NAME})=({_STRING}|[^\", ]+)", re.DOTALL)
_BOOLEANS = {"t": True, "true": True, "f": False, "false": False}
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def points(value: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the place of each line (`line 3`) and its document, or Unreadable.
    Raises Unreadable."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("not_influx", f"the value is not UTF-8: {error.reason}") from None
    found = 0
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip("\r ")
        if line and not line.startswith("#"):
            found += 1
            try:
                yield f"line {number}", _point(line)
            except Unreadable as error:
                yield f"line {number}", error
    if not found:
        raise Unreadable("not_influx", "the value has no line of the line protocol")


def _point(line: str) -> dict[str, Any]:
    parsed = _LINE.fullmatch(line)
    if parsed is None:
        raise Unreadable("not_influx", f"{line[:60]!r} is no line of the line protocol")
    tags = {_plain(name): _plain(value) for name, value in _TAG.findall(parsed["tags"])}
    name = _plain(parsed["name"])
    point: dict[str, Any] = {
        "name": name,
        "tags": tags,
        "series": ",".join([name, *(f"{tag}={tags[tag]}" for tag in sorted(tags))]),
        "fields": {_plain(field): _value(text) for field, text in _FIELD.findall(parsed["fields"])},
    }
    if parsed["time"] is not None:
        point["timestamp"] = int(parsed["time"])
    return point


def _value(text: str) -> Any:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    number = text[:-1] if text[-1] in "iu" else text
    if not _NUMBER.fullmatch(number):
        raise Unreadable("not_influx", f"{text[:40]!r} is no value of the line protocol")
    is_integer = number != text and number.lstrip("+-").isdigit() and len(number) < 40
    return int(number) if is_integer else float(number)


def _plain(name: str) -> str:
    return re.sub(r"\\([, =\\])", r"\1", name)
