"""What follows when the same records fail again and again: fewer of them at a time, then one of them named.

    three times          half as many records in a transaction, down to one; twice as many after each commit
    a record alone       three times because of what it is: a dead letter; three times as that: the process ends
    for too long         the process ends: whoever restarts it looks for the broker first

An error is a record's own (`RecordRefused`, `RecordTooLarge`, whatever decoding, the graph or encoding raise) or the
broker's. The broker's never make a dead letter: an outage must not cost a forecast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from service.errors import BrokerError, ProduceFailed, RecordRefused, RecordTooLarge
from service.humanize import in_words
from service.records import PartitionBatch

_TIMES = 3


class Attempts:
    """The failures since the last commit that went well, by partition."""

    def __init__(
        self, topic: str, max_records: int, give_up_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._topic, self._max_records, self._give_up_after_s = topic, max_records, give_up_after_s
        self._clock = clock
        self._failures: dict[int, tuple[int, int]] = {}  # partition -> from which offset on, how often
        self._taken: list[PartitionBatch] = []
        self._since: float | None = None
        #: Records to take in the next poll, at most.
        self.limit = max_records
        #: Partition and offset of records that are dead letters without being looked at.
        self.hopeless: set[tuple[int, int]] = set()

    @property
    def cautious(self) -> bool:
        """Whether every poll is to be committed by itself."""
        return self.limit < self._max_records

    def taken(self, batches: Sequence[PartitionBatch]) -> None:
        """These records are now part of what is committed next."""
        self._taken += batches

    def succeeded(self, committed: Mapping[int, int]) -> None:
        """There was a commit, of these offsets."""
        for partition, offset in committed.items():
            self._failures.pop(partition, None)
            self.hopeless = {(p, o) for p, o in self.hopeless if p != partition or o >= offset}
        self._taken.clear()
        self._since = None
        self.limit = min(2 * self.limit, self._max_records)

    def undone(self) -> None:
        """What was taken is read again, and nobody is to blame."""
        self._taken.clear()

    def forget(self, partitions: Collection[int]) -> None:
        """These are another member's."""
        for partition in partitions:
            self._failures.pop(partition, None)
        self.hopeless = {(p, o) for p, o in self.hopeless if p not in set(partitions)}

    def failed(self, error: Exception, committed: Mapping[int, int]) -> None:
        """What was taken since the last commit, of these offsets, failed. Raises ProduceFailed when that is enough."""
        taken, self._taken = self._taken, []
        self._since = self._since or self._clock()
        records, times = sum(map(len, taken)), 0
        for partition in {batch.partition for batch in taken}:
            where = committed.get(partition, 0)
            start, before = self._failures.get(partition, (where, 0))
            times = max(times, before + 1 if start == where else 1)
            self._failures[partition] = (where, before + 1 if start == where else 1)
        first = min(((b.partition, int(b.offsets[0])) for b in taken), default=(-1, -1))
        if self._clock() - self._since > self._give_up_after_s:
            raise self._given_up(error, first, f"for {self._give_up_after_s:g} s")
        if times < _TIMES:
            return
        self._failures.clear()
        if records > 1:
            self.limit = max(1, records // 2)
        elif _is_own(error):
            if first in self.hopeless:
                raise self._given_up(error, first, f"{_TIMES} times as a dead letter")
            self.hopeless.add(first)

    def _given_up(self, error: Exception, first: tuple[int, int], how: str) -> ProduceFailed:
        where = f"{self._topic} partition {first[0]} offset {first[1]}"
        what = f"the records from {where} on failed {how}: {in_words(error)}"
        return ProduceFailed(what, "nothing was committed for them; mend the cause and start again")


def _is_own(error: Exception) -> bool:
    """Whether a record is to blame, and not the broker or too little memory."""
    return isinstance(error, RecordRefused | RecordTooLarge) or not isinstance(error, BrokerError | MemoryError)
