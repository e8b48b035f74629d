"""The intake: records of the partitions served, as they follow what was processed before."""

from __future__ import annotations

from collections.abc import Collection

from eddycast.service.delivery.delivery import Delivery
from eddycast.service.processing.stage import Stage
from eddycast.service.records import PartitionBatch

#: Longest poll while no partition is served, s: the restore of newly assigned ones begins after it.
_JOINING_S = 0.05


class Intake:
    """Used by the polling thread alone."""

    def __init__(self, delivery: Delivery, stage: Stage) -> None:
        """`stage` is entered around the poll."""
        self._consumer = delivery.connections.consumer
        self._partitions, self._assignment = delivery.partitions, delivery.assignment
        self._checkpoint, self._stage = delivery.checkpoint, stage

    def poll(self, longest_s: float, most: int) -> list[PartitionBatch]:
        """Wait for up to `most` records, but no longer than until the next commit. If a callback
        rolled back meanwhile, the records returned do not follow what was processed: they are
        discarded and read again. Raises OffsetGone, BrokerUnavailable."""
        wait = self._wait(longest_s)
        with self._stage("poll"):
            self._assignment.seek_to_committed()
            batches = self._consumer.poll(wait, most)
        if self._assignment.is_behind:
            return []
        return [batch for batch in batches if self._partitions.is_serving(batch.partition)]

    def step_over(self, brought: Collection[int]) -> None:
        """Advance past control records and aborted transactions in partitions that returned no
        record, those not in `brought`: otherwise the group's lag behind a transactional producer
        would never be 0."""
        if self._assignment.is_behind:
            return
        for number, position in self._consumer.positions().items():
            if number in brought or not self._partitions.is_serving(number):
                continue
            partition = self._partitions[number]
            if position > partition.position:
                partition.done = position

    def _wait(self, longest_s: float) -> float:
        """Seconds to wait for records, at most: none between two slices of a restore."""
        if self._partitions.pending and self._assignment.outdated is None:
            return 0.0
        idle = longest_s if self._partitions.serving else min(longest_s, _JOINING_S)
        return min(idle, self._checkpoint.remaining())
