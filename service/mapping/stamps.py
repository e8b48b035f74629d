"""Time stamps in any unit or format, as milliseconds since the epoch.

    auto             numbers by their size: seconds, ms, us or ns; text as ISO 8601
    s, ms, us, ns    numbers in this unit, also as text; other text as ISO 8601
    iso              ISO 8601 alone
    %d.%m.%Y %H:%M   a format of strptime

Stamps without a zone are read in `zone`. The hour that is repeated in autumn is the one nearer to
the broker time of the record; stamps in the hour that is skipped in spring have the offset of
before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.records import LAST_TIMESTAMP, Int64

UNITS = ("auto", "s", "ms", "us", "ns", "iso")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_PER_MS = {"us": 1_000, "ns": 1_000_000}
#: Below each limit a number is in this unit: as ms, us and ns, the limits are in March 1973.
_AUTO = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (math.inf, "ns"))
_DIGITS = re.compile(r"\s*[+-]?\d{1,24}(\.\d{0,24})?\s*", re.ASCII)


class Stamps:
    """Converts time stamps of one sender."""

    def __init__(self, unit: str, zone: str, earliest_ms: int) -> None:
        """Numbers before `earliest_ms` are refused. Raises ValueError for an unknown zone."""
        self._unit, self._earliest = unit, earliest_ms
        self._zone = ZoneInfo(zone)

    def milliseconds(self, found: Any, name: str, time: int) -> int:
        """The stamp in ms. `time` is the broker time of the record, ms, -1 = none.
        Raises Unreadable, which names the place `name`."""
        if isinstance(found, str):
            stamp = self._of_text(found, name, time)
            if stamp < 0:
                raise _bad(name, found, "is before 1970")
            return stamp
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unreadable("bad_timestamp", f"{name} is no number or text")
        return self._of_number(found, name)

    def of_column(self, found: Int64) -> tuple[Int64, NDArray[np.bool_]]:
        """Stamps of a column of integers, ms, and which of them `milliseconds` refuses."""
        unit = self._unit
        if unit == "ms":
            stamps = found
        elif unit == "s":
            stamps = np.clip(found, -1, LAST_TIMESTAMP) * 1000
        elif unit in _PER_MS:
            stamps = found // _PER_MS[unit]
        elif unit == "auto":
            size = abs(found)
            stamps = np.select(
                [size < limit for limit, _ in _AUTO[:3]],
                [np.clip(found, -1, LAST_TIMESTAMP) * 1000, found, found // 1_000],
                found // 1_000_000,
            )
        else:
            return found, np.ones(len(found), np.bool_)
        return stamps, (stamps < max(0, self._earliest)) | (stamps > LAST_TIMESTAMP)

    def of_floats(self, found: Sequence[float]) -> tuple[Int64, NDArray[np.bool_]] | None:
        """Stamps of a column of numbers, ms, and which of them `milliseconds` refuses; None if they
        are not in seconds."""
        if self._unit != "s":
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            stamps = np.rint(np.array(found, np.float64) * 1000)
            wrong = ~((stamps >= max(0, self._earliest)) & (stamps <= LAST_TIMESTAMP))
        return np.where(wrong, 0, stamps).astype(np.int64), wrong

    def of_text(self, found: Sequence[str]) -> Int64 | None:
        """Stamps of a column of ISO 8601 with zones, ms; None if it holds anything else."""
        if "%" in self._unit or any(map(str.isdigit, found)):
            return None
        try:
            moments = list(map(datetime.fromisoformat, found))
            if any(moment.tzinfo is None for moment in moments):
                return None
            seconds = [int(moment.timestamp() // 1) for moment in moments]
        except (ValueError, OverflowError):
            return None
        within = np.array([moment.microsecond for moment in moments], np.int64) // 1_000
        return np.array(seconds, np.int64) * 1_000 + within

    def _of_text(self, found: str, name: str, time: int) -> int:
        if "%" in self._unit:
            try:
                return self._placed(datetime.strptime(found.strip(), self._unit), time)
            except (ValueError, OverflowError):
                raise _bad(name, found, f"does not have the format {self._unit}") from None
        if self._unit != "iso" and _DIGITS.fullmatch(found):
            return self._of_number(float(found) if "." in found else int(found), name)
        if found.strip().isdigit():  # would be parsed as a date around the year 1700
            raise _bad(name, found, "is no ISO 8601; for a number set input.timestamp_unit")
        try:
            return self._placed(datetime.fromisoformat(found.strip()), time)
        except (ValueError, OverflowError):
            raise _bad(name, found, "is no ISO 8601; see input.timestamp_unit") from None

    def _of_number(self, found: float, name: str) -> int:
        if not abs(found) <= 1e24:  # also NaN
            raise _bad(name, found, "is no time")
        unit = self._unit
        if unit == "auto":
            unit = next(unit for limit, unit in _AUTO if abs(found) < limit)
        if unit not in ("s", "ms", "us", "ns"):
            raise _bad(name, found, f"is a number; input.timestamp_unit is {unit}")
        stamp = _in_ms(found, unit)
        if not 0 <= stamp <= LAST_TIMESTAMP:
            where = "before 1970" if stamp < 0 else "after the year 9999"
            raise _bad(name, found, f"in {unit} is {where}; see input.timestamp_unit")
        if stamp < self._earliest:
            moment = (_EPOCH + stamp * _MILLISECOND).isoformat()
            error = "seconds" if unit == "ms" else "bad_timestamp"
            raise Unreadable(
                error,
                f"{name} is {found}: in {unit} that is {moment}, before time.earliest; "
                "see input.timestamp_unit",
            )
        return stamp

    def _placed(self, moment: datetime, time: int) -> int:
        """The instant of a moment, in the stamps' zone unless it has its own."""
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // _MILLISECOND
        first, second = (
            (moment.replace(tzinfo=self._zone, fold=fold) - _EPOCH) // _MILLISECOND
            for fold in (0, 1)
        )
        is_repeated = second > first and time >= 0
        return second if is_repeated and abs(second - time) < abs(first - time) else first


def _in_ms(found: float, unit: str) -> int:
    if unit == "s":
        return found * 1000 if isinstance(found, int) else round(found * 1000)
    if unit == "ms":
        return found if isinstance(found, int) else math.floor(found)
    per_ms = _PER_MS[unit]
    return int(found // per_ms)


def _bad(name: str, found: object, why: str) -> Unreadable:
    return Unreadable("bad_timestamp", f"{name} is {str(found)[:40]!r}, which {why}")
