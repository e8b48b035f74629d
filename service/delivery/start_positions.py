"""Where in the input a partition is read from, when it begins to be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.broker.port import Reader
from service.errors import OffsetGone, StateError
from service.settings.kafka import WhenDeleted


@dataclass(frozen=True, slots=True)
class Position:
    """The first offset to read, how many before it can never be read, because retention has deleted them, and where the
    partition ended when this was looked up."""

    offset: int
    deleted: int = 0
    end: int = 0

    @property
    def lag(self) -> int:
        """Offsets that were still to be read then."""
        return max(0, self.end - self.offset)


class Positions:
    """Looks where reading starts."""

    def __init__(self, reader: Reader, topic: str, start_at: str, when_deleted: WhenDeleted) -> None:
        """`start_at` (earliest or latest) counts for a partition that was never read. `reader` reads `topic`."""
        self._reader, self._topic = reader, topic
        self._start_at, self._when_deleted = start_at, when_deleted

    def find(self, committed: Mapping[int, int | None], timeout_s: float = 10.0) -> dict[int, Position]:
        """Of each partition with a committed offset, or None. Raises OffsetGone where records are deleted that were to
        be read and the settings say `fail`, StateError where more records were read than there are,
        BrokerUnavailable."""
        first, end = self._reader.first(committed, timeout_s), self._reader.end(committed, timeout_s)
        return {p: self._find(p, offset, first[p], end[p]) for p, offset in committed.items()}

    def _find(self, partition: int, committed: int | None, first: int, end: int) -> Position:
        """In a partition that holds the records from `first` to before `end`."""
        where = f"{self._topic} partition {partition}"
        if committed is None:
            return Position(end if self._start_at == "latest" else first, 0, end)
        if committed > end:
            what = f"{where} ends at offset {end}, but was read up to {committed}"
            raise StateError(what, "the topic was made anew: begin anew, with another changelog topic and group")
        if committed >= first:
            return Position(committed, 0, end)
        if self._when_deleted == "fail":
            what = f"{where} begins at offset {first}, but was read only up to {committed}: {first - committed} offsets"
            raise OffsetGone(
                f"{what} were deleted unread",
                "lengthen its retention.ms; set kafka.when_deleted to earliest or latest to go on without them",
            )
        offset = first if self._when_deleted == "earliest" else end
        return Position(offset, offset - committed, end)
