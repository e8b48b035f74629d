"""One record read by itself: the observation in it, or why there is none.

An observation is `{"timestamp": ms or ISO 8601, "value": number, null or array}` under the stream's name
as key. Without a timestamp the record's own time counts; times without a zone are UTC; other fields are
ignored; of a field that stands twice the last counts. A record with such a key and no value is none: it asks to forget
the stream. Everything else is `Unreadable`, with an error of:

    no_key          the record has no key, or an empty one
    bad_key         the key is not UTF-8, or holds control characters, as a number in binary does
    too_large       key or value is larger than an observation can be
    not_json        the value is not a JSON object
    no_value        the object has no field "value"
    not_a_number    the value is, or holds, a text, a boolean or an object
    not_finite      the value is NaN, infinite or beyond LARGEST
    wrong_channels  the value has another number of channels than the model
    bad_timestamp   the timestamp cannot be read, is negative or after the year 9999
    seconds         the timestamp is a number that reads as seconds: in milliseconds it is before `earliest`
    far_future      the timestamp is further ahead of the record's own time than allowed; where it has none, of the
                    last record's before it that has one
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from service.humanize import span
from service.records import LARGEST, LAST_TIMESTAMP

#: Larger ones are refused: the name of a stream is kept for as long as the stream lives.
KEY_LIMIT_BYTES = 1024
VALUE_LIMIT_BYTES = 1_048_576
#: Numbers below are taken for seconds: 3 March 1973 in milliseconds, the year 5138 in seconds.
EARLIEST = 100_000_000_000
#: In a name they mean that a key is no text: most often a number in binary.
CONTROLS = bytes([*range(32), 127])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MISSING = math.nan
_KINDS = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}

Value = float | list[float | None] | None


class Scalar(msgspec.Struct, gc=False):
    """The JSON of an observation of one channel. An array of one is a number, too."""

    value: float | list[float | None] | None
    timestamp: int | str | None = None


class Vector(msgspec.Struct, gc=False):
    """The JSON of an observation of several channels. A null stands for all of them."""

    value: list[float | None] | None
    timestamp: int | str | None = None


class Unreadable(Exception):
    """A record that is no observation: the dead letter's `error` and `reason`."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


class ObservationReader:
    """Reads observations of `channels` channels. Numbers as timestamps begin at `earliest` (ms)."""

    def __init__(self, channels: int, earliest: int = EARLIEST) -> None:
        self.channels = channels
        self.earliest = earliest
        shape: type[Scalar] | type[Vector] = Scalar if channels == 1 else Vector
        #: JSON -> observation, at C speed. Raises ValueError or RecursionError.
        self.parse: Callable[[bytes], Scalar | Vector] = msgspec.json.Decoder(shape).decode

    def read(self, key: bytes | None, value: bytes, time: int, latest: int) -> tuple[int, list[float]]:
        """Timestamp (ms) and values [channels] of a record made at `time` (ms); NaN = missing.

        Raises Unreadable, also for a timestamp after `latest`.
        """
        check_key(key)
        if len(value) > VALUE_LIMIT_BYTES:
            raise Unreadable("too_large", f"the value has {len(value)} bytes; {VALUE_LIMIT_BYTES} are allowed")
        try:
            reading = self.parse(value)
        except (ValueError, RecursionError) as error:
            raise self._finding(value, error) from error
        return _checked(reading.timestamp, time, latest, self.earliest), self._row(reading.value)

    def _row(self, value: Value) -> list[float]:
        if value is None:
            return [_MISSING] * self.channels
        row = [_MISSING if entry is None else entry for entry in value] if isinstance(value, list) else [value]
        if len(row) != self.channels:
            raise self._wrong_channels(len(row))
        for entry in row:
            if abs(entry) > LARGEST:
                raise _not_finite(entry)
        return row

    def _wrong_channels(self, found: int) -> Unreadable:
        return Unreadable("wrong_channels", f'"value" has {found} numbers; the model has {self.channels} channels')

    def _finding(self, value: bytes, error: Exception) -> Unreadable:
        """Why `parse` refused a value, found with a parser that takes more."""
        try:
            document = json.loads(value.decode(), parse_int=_number)
        except (ValueError, RecursionError):
            return Unreadable("not_json", f"the value is not JSON: {error}")
        if not isinstance(document, dict):
            return Unreadable("not_json", f"the value is {_kind(document)}; an object is expected")
        if "value" not in document:
            return Unreadable("no_value", 'the field "value" is missing')
        found = document["value"]
        for entry in found if isinstance(found, list) else [found]:
            if entry is None:
                continue
            if isinstance(entry, bool) or not isinstance(entry, int | float):
                return Unreadable("not_a_number", f'"value" is, or holds, {_kind(entry)}; a number is expected')
            if not math.isfinite(entry):
                return _not_finite(entry)
        if self.channels > 1 and isinstance(found, int | float):
            return self._wrong_channels(1)
        if isinstance(stamp := document.get("timestamp"), int | str | None) and not isinstance(stamp, bool):
            return Unreadable("not_json", f"the value is not JSON: {error}")
        return Unreadable(
            "bad_timestamp", f'"timestamp" is {_kind(stamp)}; whole milliseconds or ISO 8601 are expected'
        )


def names_a_stream(key: bytes | None) -> bool:
    """Whether a key is one that an observation may have."""
    try:
        check_key(key)
    except Unreadable:
        return False
    return True


def milliseconds(text: str) -> int:
    """ISO 8601 -> ms since the epoch, rounded down; without a zone it is UTC. Raises Unreadable."""
    if text.isdigit():  # would be taken for a date of the year 1700 or so
        raise Unreadable("bad_timestamp", f'"timestamp" is the text {text[:40]!r}; write milliseconds as a number')
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise Unreadable("bad_timestamp", f'"timestamp" is {text[:40]!r}, which is not ISO 8601') from error


def check_key(key: bytes | None) -> None:
    """Raise Unreadable unless a key can name a stream."""
    if not key:
        raise Unreadable("no_key", "the record has no key; the key names the stream")
    if len(key) > KEY_LIMIT_BYTES:
        raise Unreadable("too_large", f"the key has {len(key)} bytes; {KEY_LIMIT_BYTES} are allowed")
    try:
        key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("bad_key", f"the key is not UTF-8: {error.reason} at byte {error.start}") from error
    if len(key.translate(None, CONTROLS)) < len(key):
        raise Unreadable("bad_key", f"the key {key[:40]!r} holds control characters; the name of a stream is a text")


def _not_finite(value: float) -> Unreadable:
    found = value if math.isfinite(value) else f"{value}, which no reading is"
    return Unreadable(
        "not_finite", f'"value" is, or holds, {found}; readings lie within {LARGEST:g}: write null for a missing value'
    )


def _checked(stamp: int | str | None, time: int, latest: int, earliest: int) -> int:
    """The timestamp that counts, ms. Raises Unreadable."""
    timestamp = time if stamp is None else milliseconds(stamp) if isinstance(stamp, str) else stamp
    if timestamp < 0:
        source = "the record's own time" if stamp is None else '"timestamp"'
        raise Unreadable("bad_timestamp", f"{source} is {_short(timestamp)}, before 1970")
    if timestamp > LAST_TIMESTAMP:
        raise Unreadable("bad_timestamp", f"{_short(timestamp)} is after the year 9999; milliseconds are expected")
    if timestamp < earliest and not isinstance(stamp, str):
        raise _seconds(timestamp, "the record's own time" if stamp is None else '"timestamp"', earliest)
    if timestamp > latest:
        after = f"{span(timestamp - time)} after the record's own time"
        if time < 0:
            after = f"{span(timestamp - latest)} later than a record without a time of its own may be here"
        raise Unreadable("far_future", f'"timestamp" {iso(timestamp)} is {after}')
    return timestamp


def _seconds(timestamp: int, source: str, earliest: int) -> Unreadable:
    """What a number below `earliest` is in milliseconds, and what it would be in seconds."""
    as_seconds = f", and as seconds {iso(timestamp * 1000)}" if timestamp * 1000 <= LAST_TIMESTAMP else ""
    what = f"{source} is {timestamp}: as milliseconds that is {iso(timestamp)}{as_seconds}"
    return Unreadable("seconds", f"{what}; write milliseconds, or set time.earliest below {iso(earliest)}")


def iso(timestamp: int) -> str:
    """ms since the epoch -> ISO 8601."""
    return (_EPOCH + timestamp * _MILLISECOND).isoformat()


def _number(digits: str) -> int | float:
    """A whole number as JSON has it; one too long to matter as a float, infinite from 309 digits on."""
    return int(digits) if len(digits) < 40 else float(digits)


def _short(timestamp: int) -> str:
    return str(timestamp) if abs(timestamp) < 10**24 else "a number of more than 24 digits"


def _kind(found: object) -> str:
    return _KINDS.get(type(found), "a number")
