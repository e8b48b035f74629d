"""A record of the input topic, and what becomes of its readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eddycast.service.dead_letters.unreadable import Unreadable

#: Maximum number of readings in one record.
MAX_READINGS = 16_384


class Reading(NamedTuple):
    """A reading of a record."""

    stream: bytes
    timestamp: int  # ms
    values: list[float]  # [channels]; NaN = missing
    place: str  # inside the record; "" = the whole


class Refused(NamedTuple):
    """A reading that becomes a dead letter."""

    why: Unreadable
    place: str


class Filtered(NamedTuple):
    """A reading that the settings pass over."""

    place: str


Outcome = Reading | Refused | Filtered


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the input topic."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    time: int  # broker time, ms; -1 = none
    latest: int  # largest time stamp allowed, ms
