"""The first offset of each partition when a topic is read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from eddycast.service.broker.port import Reader
from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.durations import parse_duration
from eddycast.service.errors import DataError
from eddycast.service.formats.json_observation import milliseconds
from eddycast.service.humanize import many


@dataclass(frozen=True)
class Beginning:
    """The first record that is still there; or the first one that the broker got at a time; or a
    number of offsets before the end of each partition."""

    time_ms: int | None = None
    offsets: int | None = None

    @classmethod
    def parse(cls, text: str, now_ms: int) -> Self:
        """`90d` before now, `2026-08-01` or another time in ISO 8601, or the number of the newest
        offsets of each partition; nothing for all. Raises DataError."""
        if not text:
            return cls()
        if text.isdigit():
            return cls(offsets=int(text))
        with suppress(DataError):
            return cls(time_ms=now_ms - parse_duration(text))
        with suppress(Unreadable):
            return cls(time_ms=milliseconds(text))
        raise DataError(
            f"{text!r} is no time to begin at",
            "give a duration before now (90d), a time in ISO 8601 (2026-08-01), "
            "or a number of offsets before the end of each partition",
        )

    def places(self, reader: Reader, ends: Mapping[int, int]) -> dict[int, int]:
        """The offset to begin at in each partition; `ends` are those after the last records.
        Raises BrokerUnavailable."""
        first = reader.first(ends)
        if self.offsets is not None:
            return {p: max(at, ends[p] - self.offsets) for p, at in first.items()}
        if self.time_ms is not None:
            return {p: max(first[p], at) for p, at in reader.since(ends, self.time_ms).items()}
        return first

    @property
    def remark(self) -> str:
        """A part of the note on a history; empty where nothing is left out."""
        if self.offsets is not None:
            return f"from {many(self.offsets, 'offset')} before the end of each on"
        if self.time_ms is not None:
            moment = datetime.fromtimestamp(self.time_ms / 1000, UTC)
            return f"from what the broker got at {moment:%Y-%m-%d %H:%M} UTC on"
        return ""
