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
from functools import lru_cache
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable

_NAME = r"(?:[^\\, =]|\\.)+"
_MEASUREMENT = r"(?:[^\\, ]|\\.)+"
_STRING = r'"(?:[^"\\]|\\.)*"'
_HEAD_TEXT = rf"(?P<name>{_MEASUREMENT})(?P<tags>(?:,{_NAME}={_NAME})*)"
_HEAD = re.compile(_HEAD_TEXT, re.DOTALL)
_LINE = re.compile(
    rf"(?P<head>{_HEAD_TEXT}) +"
    rf"(?P<fields>{_NAME}=(?:{_STRING}|[^\", ]+)(?:,{_NAME}=(?:{_STRING}|[^\", ]+))*)"
    r"(?: +(?P<time>-?\d{1,24}))? *",
    re.DOTALL | re.ASCII,
)
_TIME = re.compile(r"-?\d{1,24}", re.ASCII)
#: Length up to which the first parts of lines are remembered, characters.
_REMEMBERED_LENGTH = 1_024
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
    parts = line.split(" ")
    if '"' in line or "\\" in line or not 2 <= len(parts) <= 3 or "" in parts:
        parsed = _LINE.fullmatch(line)
        if parsed is None:
            raise _wrong(line)
        head, fields, time = parsed["head"], _FIELD.findall(parsed["fields"]), parsed["time"]
    else:
        head, fields, time = parts[0], _plain_fields(parts[1], line), (*parts, None)[2]
        if time is not None and not _TIME.fullmatch(time):
            raise _wrong(line)
    name, tags, series = (_series if len(head) <= _REMEMBERED_LENGTH else _series.__wrapped__)(head)
    point: dict[str, Any] = {
        "name": name,
        "tags": tags,
        "series": series,
        "fields": {_plain(field): _value(text) for field, text in fields},
    }
    if time is not None:
        point["timestamp"] = int(time)
    return point


def _plain_fields(text: str, line: str) -> list[tuple[str, str]]:
    """Fields without quotes and escapes."""
    fields = []
    for field in text.split(","):
        name, sign, value = field.partition("=")
        if not (name and sign and value):
            raise _wrong(line)
        fields.append((name, value))
    return fields


@lru_cache(1 << 14)
def _series(head: str) -> tuple[str, dict[str, str], str]:
    """Measurement, tags and both together, of the first part of a line. Raises Unreadable."""
    parsed = _HEAD.fullmatch(head)
    if parsed is None:
        raise _wrong(head)
    name = _plain(parsed["name"])
    tags = {_plain(tag): _plain(value) for tag, value in _TAG.findall(parsed["tags"])}
    return name, tags, ",".join([name, *(f"{tag}={tags[tag]}" for tag in sorted(tags))])


def _wrong(line: str) -> Unreadable:
    return Unreadable("not_influx", f"{line[:60]!r} is no line of the line protocol")


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
    return re.sub(r"\\([, =\\])", r"\1", name) if "\\" in name else name
