"""Backing off when the same records fail again and again:
fewer records at a time, then one of them quarantined.

    3 failures in a row       half as many records per transaction, down to one;
                              doubled after each commit
    3 failures of one record  if the record itself is the cause: it becomes a dead letter; after 3
                              failures as a dead letter the process ends
    failing for too long      the process ends: on a restart it waits for the broker first

An error is caused by the record (`RecordRefused`, `RecordTooLarge`, anything raised by decoding,
graph or encoding) or by the broker. Errors of the broker never make a dead letter: an outage must
not cost a forecast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from eddycast.service.delivery.partition import Partitions
from eddycast.service.errors import (
    BrokerError,
    ProduceFailed,
    RecordRefused,
    RecordTooLarge,
    SchemaRegistryError,
)
from eddycast.service.humanize import in_words
from eddycast.service.records import PartitionBatch

_TIMES = 3


class FailureBackoff:
    """Failures since the last successful commit.
    Those of a partition are counted in its `Partition`."""

    def __init__(
        self,
        partitions: Partitions,
        topic: str,
        max_records: int,
        give_up_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions, self._topic = partitions, topic
        self._max_records, self._give_up_after_s = max_records, give_up_after_s
        self._clock = clock
        self._taken: list[PartitionBatch] = []
        self._since: float | None = None
        #: Maximum number of records of the next poll.
        self.limit = max_records

    @property
    def quarantined(self) -> set[tuple[int, int]]:
        """Partition and offset of records that become dead letters without being decoded."""
        return {
            (partition.number, offset)
            for partition in self._partitions
            for offset in partition.quarantined
        }

    @property
    def cautious(self) -> bool:
        """True while every poll must be committed by itself."""
        return self.limit < self._max_records

    def taken(self, batches: Sequence[PartitionBatch]) -> None:
        """Note records that belong to the next commit."""
        self._taken += batches

    def succeeded(self, committed: Mapping[int, int]) -> None:
        """Note a commit of these offsets."""
        for number, offset in committed.items():
            partition = self._partitions[number]
            partition.clear_failures()
            partition.quarantined = {bad for bad in partition.quarantined if bad >= offset}
        self._taken.clear()
        self._since = None
        self.limit = min(2 * self.limit, self._max_records)

    def undone(self) -> None:
        """The records taken will be read again, through no fault of theirs."""
        self._taken.clear()

    def failed(self, error: Exception) -> None:
        """Count a failure of everything taken since the last commit.
        Raises ProduceFailed to end the process."""
        taken, self._taken = self._taken, []
        self._since = self._clock() if self._since is None else self._since
        numbers = {batch.partition for batch in taken}
        times = max((self._partitions[number].count_failure() for number in numbers), default=0)
        first = min(((b.partition, int(b.offsets[0])) for b in taken), default=None)
        if self._clock() - self._since > self._give_up_after_s:
            raise self._give_up(error, first, f"for {self._give_up_after_s:g} s")
        if times >= _TIMES and first is not None:
            self._back_off(error, sum(map(len, taken)), first)

    def _back_off(self, error: Exception, records: int, first: tuple[int, int]) -> None:
        for partition in self._partitions:
            partition.clear_failures()
        if records > 1:
            self.limit = max(1, records // 2)
        elif _is_own(error):
            quarantined, offset = self._partitions[first[0]].quarantined, first[1]
            if offset in quarantined:
                raise self._give_up(error, first, f"{_TIMES} times as a dead letter")
            quarantined.add(offset)

    def _give_up(self, error: Exception, first: tuple[int, int] | None, how: str) -> ProduceFailed:
        action = "nothing was committed since; remove the cause and start again"
        if first is None:
            return ProduceFailed(
                f"commits of {self._topic} failed {how}: {in_words(error)}", action
            )
        where = f"{self._topic} partition {first[0]} offset {first[1]}"
        return ProduceFailed(f"the records from {where} on failed {how}: {in_words(error)}", action)


def _is_own(error: Exception) -> bool:
    """True if the record is the cause, and not the broker, the schema registry or a lack of
    memory."""
    return isinstance(error, RecordRefused | RecordTooLarge) or not isinstance(
        error, BrokerError | SchemaRegistryError | MemoryError
    )
