"""Parse one record: its observation, or the reason why it has none.

An observation is `{"timestamp": ms or ISO 8601, "value": number, null or array}` with the stream's
name as key. The timestamp defaults to the record's broker time; times without a zone are UTC; other
fields are ignored; the last of duplicate fields counts. A record with such a key and no value is a
tombstone: a request to forget the stream. Everything else is `Unreadable`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.humanize import span
from eddycast.service.records import LARGEST, LAST_TIMESTAMP
from eddycast.service.settings.time import TimeSettings

#: Maximum bytes of a key, because it is kept in memory as long as its stream, and of a value.
KEY_LIMIT_BYTES = 1024
VALUE_LIMIT_BYTES = 1_048_576
#: Smaller numbers are taken for seconds: 3 March 1973 in milliseconds, the year 5138 in seconds.
EARLIEST = TimeSettings().earliest_ms
#: Larger stamps than a record's broker time by this are refused, ms.
FAR_FUTURE_MS = TimeSettings().far_future_ms
#: Control characters: a key that contains one is not text but most likely a binary number.
CONTROLS = bytes([*range(32), 127])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MISSING = math.nan
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}

Value = float | list[float | None] | None


class Scalar(msgspec.Struct, gc=False):
    """JSON of an observation with one channel; an array of one number is accepted."""

    value: float | list[float | None] | None
    timestamp: int | str | None = None


class Vector(msgspec.Struct, gc=False):
    """JSON of an observation with several channels; null means that all of them are missing."""

    value: list[float | None] | None
    timestamp: int | str | None = None


class ObservationReader:
    """Parses observations of `channels` channels;
    numeric timestamps before `earliest` (ms) are refused."""

    def __init__(self, channels: int, earliest: int = EARLIEST) -> None:
        self.channels = channels
        self.earliest = earliest
        shape: type[Scalar] | type[Vector] = Scalar if channels == 1 else Vector
        #: Parses JSON in C. Raises ValueError or RecursionError.
        self.parse: Callable[[bytes], Scalar | Vector] = msgspec.json.Decoder(shape).decode

    def read(
        self, key: bytes | None, value: bytes, time: int, latest: int
    ) -> tuple[int, list[float]]:
        """Return timestamp (ms) and values [channels] of a record; NaN = missing.

        `time` is the record's broker time (ms, -1 = none),
        `latest` the largest timestamp allowed (ms). Raises Unreadable.
        """
        check_key(key)
        if len(value) > VALUE_LIMIT_BYTES:
            raise Unreadable(
                "too_large", f"the value has {len(value)} bytes; {VALUE_LIMIT_BYTES} are allowed"
            )
        try:
            reading = self.parse(value)
        except (ValueError, RecursionError) as error:
            raise self._explain(value, error) from error
        return _checked(reading.timestamp, time, latest, self.earliest), self._row(reading.value)

    def _row(self, value: Value) -> list[float]:
        if value is None:
            return [_MISSING] * self.channels
        row = (
            [_MISSING if entry is None else entry for entry in value]
            if isinstance(value, list)
            else [value]
        )
        if len(row) != self.channels:
            raise self._wrong_channels(len(row))
        for entry in row:
            if abs(entry) > LARGEST:
                raise _not_finite(entry)
        return row

    def _wrong_channels(self, found: int) -> Unreadable:
        return Unreadable(
            "wrong_channels", f'"value" has {found} numbers; the model has {self.channels} channels'
        )

    def _explain(self, value: bytes, error: Exception) -> Unreadable:
        """Find out, with a lenient parser, why `parse` refused a value."""
        try:
            document = _LENIENT.decode(value.decode())
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
                return Unreadable(
                    "not_a_number", f'"value" is or contains {_kind(entry)}; a number is expected'
                )
            if not math.isfinite(entry):
                return _not_finite(entry)
        if self.channels > 1 and isinstance(found, int | float):
            return self._wrong_channels(1)
        if isinstance(stamp := document.get("timestamp"), int | str | None) and not isinstance(
            stamp, bool
        ):
            return Unreadable("not_json", f"the value is not JSON: {error}")
        return Unreadable(
            "bad_timestamp",
            f'"timestamp" is {_kind(stamp)}; whole milliseconds or ISO 8601 are expected',
        )


def names_a_stream(key: bytes | None) -> bool:
    """True if a key is a valid stream name."""
    try:
        check_key(key)
    except Unreadable:
        return False
    return True


def milliseconds(text: str) -> int:
    """Parse ISO 8601 as ms since the epoch, rounded down, UTC unless a zone is given.
    Raises Unreadable."""
    if text.isdigit():  # would be parsed as a date around the year 1700
        raise Unreadable(
            "bad_timestamp",
            f'"timestamp" is the string {text[:40]!r}; send milliseconds as a number',
        )
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise Unreadable(
            "bad_timestamp", f'"timestamp" is {text[:40]!r}, which is not ISO 8601'
        ) from error


def check_key(key: bytes | None) -> None:
    """Raise Unreadable unless a key is a valid stream name."""
    if not key:
        raise Unreadable("no_key", "the record has no key; the key names the stream")
    if len(key) > KEY_LIMIT_BYTES:
        raise Unreadable(
            "too_large", f"the key has {len(key)} bytes; {KEY_LIMIT_BYTES} are allowed"
        )
    try:
        key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(
            "bad_key", f"the key is not UTF-8: {error.reason} at byte {error.start}"
        ) from error
    if len(key.translate(None, CONTROLS)) < len(key):
        raise Unreadable(
            "bad_key", f"the key {key[:40]!r} contains control characters; a stream's name is text"
        )


def _not_finite(value: float) -> Unreadable:
    limits = f"readings are finite and at most {LARGEST:g}; send null for a missing value"
    return Unreadable("not_finite", f'"value" is or contains {value}; {limits}')


def _checked(stamp: int | str | None, time: int, latest: int, earliest: int) -> int:
    """Return the valid timestamp in ms: that of the observation, or the record's broker time.
    Raises Unreadable."""
    timestamp = time if stamp is None else milliseconds(stamp) if isinstance(stamp, str) else stamp
    if timestamp < 0:
        source = "the record's broker time" if stamp is None else '"timestamp"'
        raise Unreadable("bad_timestamp", f"{source} is {_short(timestamp)}, before 1970")
    if timestamp > LAST_TIMESTAMP:
        raise Unreadable(
            "bad_timestamp",
            f"{_short(timestamp)} is after the year 9999; milliseconds are expected",
        )
    if timestamp < earliest and not isinstance(stamp, str):
        raise _seconds(
            timestamp, "the record's broker time" if stamp is None else '"timestamp"', earliest
        )
    return check_not_ahead(timestamp, time, latest)


def check_not_ahead(timestamp: int, time: int, latest: int) -> int:
    """Return the timestamp (ms). Raises Unreadable if it is after `latest`; `time` is the record's
    broker time, -1 = none."""
    if timestamp > latest:
        after = f"{span(timestamp - time)} after the record's broker time"
        if time < 0:
            after = (
                f"{span(timestamp - latest)} later than allowed for a record without a broker time"
            )
        raise Unreadable("far_future", f'"timestamp" {iso(timestamp)} is {after}')
    return timestamp


def _seconds(timestamp: int, source: str, earliest: int) -> Unreadable:
    """Return the error for a number below `earliest`, read as milliseconds and as seconds."""
    as_seconds = (
        f", and as seconds {iso(timestamp * 1000)}" if timestamp * 1000 <= LAST_TIMESTAMP else ""
    )
    what = f"{source} is {timestamp}: as milliseconds that is {iso(timestamp)}{as_seconds}"
    return Unreadable(
        "seconds", f"{what}; send milliseconds, or set time.earliest below {iso(earliest)}"
    )


def iso(timestamp: int) -> str:
    """Format ms since the epoch as ISO 8601."""
    return (_EPOCH + timestamp * _MILLISECOND).isoformat()


def _number(digits: str) -> int | float:
    """Parse a JSON integer; as a float from 40 digits on, which is infinite from 309 digits on."""
    return int(digits) if len(digits) < 40 else float(digits)


#: Made once: garbage comes in floods.
_LENIENT = json.JSONDecoder(parse_int=_number)


def _short(timestamp: int) -> str:
    return str(timestamp) if abs(timestamp) < 10**24 else "a number of more than 24 digits"


def _kind(found: object) -> str:
    return _KINDS.get(type(found), "a number")
