"""The offset of the input from which a partition is read when it begins to be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eddycast.service.broker.port import Reader
from eddycast.service.errors import OffsetGone, StateError
from eddycast.service.settings.kafka import WhenDeleted


@dataclass(frozen=True, slots=True)
class StartPosition:
    """Offset from which one partition is read, as of the lookup."""

    offset: int  # first offset to read
    deleted: int = 0  # offsets before it that retention deleted before they were read
    end: int = 0  # end of the partition

    @property
    def lag(self) -> int:
        """Offsets between the start and the end of the partition."""
        return max(0, self.end - self.offset)


class StartPositions:
    """Looks up start positions of one topic."""

    def __init__(
        self, reader: Reader, topic: str, start_at: str, when_deleted: WhenDeleted
    ) -> None:
        """`reader` reads `topic`. `start_at` (earliest or latest) applies to partitions without a
        committed offset."""
        self._reader, self._topic = reader, topic
        self._start_at, self._when_deleted = start_at, when_deleted

    def find(
        self, committed: Mapping[int, int | None], timeout_s: float = 10.0
    ) -> dict[int, StartPosition]:
        """Start position by partition, given each partition's committed offset (None where there is
        none).

        Raises OffsetGone where unread records were deleted and the settings say `fail`, StateError
        where the committed offset is beyond the end of the partition, BrokerUnavailable.
        """
        first, end = (
            self._reader.first(committed, timeout_s),
            self._reader.end(committed, timeout_s),
        )
        return {p: self._find(p, offset, first[p], end[p]) for p, offset in committed.items()}

    def _find(self, partition: int, committed: int | None, first: int, end: int) -> StartPosition:
        """`first` and `end` bound the offsets that the partition holds; `end` is exclusive."""
        where = f"{self._topic} partition {partition}"
        if committed is None:
            return StartPosition(end if self._start_at == "latest" else first, 0, end)
        if committed > end:
            what = f"{where} ends at offset {end}, but offset {committed} is committed"
            raise StateError(
                what,
                "the topic was recreated: start over with a new changelog topic and a new group",
            )
        if committed >= first:
            return StartPosition(committed, 0, end)
        if self._when_deleted == "fail":
            what = f"{where} begins at offset {first}, but offset {committed} is committed"
            raise OffsetGone(
                f"{what}: {first - committed} unread offsets were deleted",
                "increase retention.ms of the topic; set kafka.when_deleted "
                "to earliest or latest to skip the deleted records",
            )
        offset = first if self._when_deleted == "earliest" else end
        return StartPosition(offset, offset - committed, end)
