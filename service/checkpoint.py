"""The commit: what becomes durable, in which order, and what a crash in between means. Delivery: at least once.

    1  flush    every output produced since the last commit is acknowledged, each result checked
    2  commit   the next offsets of the records behind those outputs are stored, synchronously
    3  forget   what was kept in case it had to be produced again

    crash before 1 is through   some outputs are out and no offset is stored: those records are read again, and
                                their outputs repeat
    crash between 1 and 2       every output is out and no offset is stored: as above, all of them repeat
    crash after 2               nothing is lost with the memory: outputs and offsets are both stored

An offset is never stored before its outputs, so nothing is ever lost. Rows of state live in memory: whoever reads
the partitions next begins its streams anew.

A record is stepped once. An output that was not acknowledged is produced again from the bytes kept here, never by
stepping again: the row has moved on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from service.broker.port import Consumer, Headers, Producer
from service.errors import BrokerError, BrokerUnavailable, ProduceFailed
from service.log import get_log

Clock = Callable[[], float]

#: Pause between two attempts to produce the same outputs, seconds.
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Output:
    """Encoded records of one partition. `partition` is that of the input as well."""

    topic: str
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None = None


class Checkpoint:
    """Outputs and offsets that are not durable yet. Belongs to the thread that polls."""

    def __init__(
        self,
        producer: Producer,
        consumer: Consumer,
        interval_s: float,
        clock: Clock = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._producer, self._consumer = producer, consumer
        self._interval_s, self._clock, self._pause = interval_s, clock, pause
        self._outputs: list[Output] = []
        self._offsets: dict[int, int] = {}
        self._produce_again = False
        self._tried = clock()

    def produce(self, output: Output) -> None:
        """Hand an output to the producer, and keep it until it is acknowledged. Raises RecordTooLarge."""
        self._outputs.append(output)
        if not self._produce_again:
            try:
                self._hand_over(output)
            except BrokerUnavailable:  # the next flush produces everything that is kept, in order
                self._produce_again = True

    def record(self, partition: int, next_offset: int) -> None:
        """The records of a partition up to `next_offset` are done, once what was produced so far is acknowledged."""
        self._offsets[partition] = next_offset

    def remaining(self) -> float:
        """Seconds until the next commit is due, at least 0; infinite when there is nothing to commit."""
        if not self._offsets:
            return float("inf")
        return max(0.0, self._tried + self._interval_s - self._clock())

    def due(self) -> bool:
        """Whether it is time to commit."""
        return self.remaining() == 0.0

    def flush(self, within_s: float) -> None:
        """Step 1. What is not acknowledged is produced again until `within_s` is over.

        Raises ProduceFailed then, naming topic and partition; everything that was not acknowledged is still kept.
        """
        deadline = self._clock() + within_s
        while self._outputs:
            try:
                if self._produce_again:
                    for output in self._outputs:
                        self._hand_over(output)
                self._producer.flush(max(deadline - self._clock(), 0.0))
            except (ProduceFailed, BrokerUnavailable) as error:
                self._produce_again = True
                if self._clock() + _PAUSE_S >= deadline:
                    raise self._given_up(error, within_s) from error
                get_log().warning("outputs are produced again", reason=error.what, outputs=self._waiting())
                self._pause(_PAUSE_S)
            else:
                self._outputs.clear()
                self._produce_again = False

    def commit(self, within_s: float) -> dict[int, int]:
        """Steps 1 to 3; the offsets stored, by partition.

        Raises ProduceFailed as `flush` does; MembershipLost when the group has moved on, and BrokerUnavailable when
        nobody answered or the group is still deciding. After these two the offsets are still held: the next poll
        says which partitions are ours, and the next commit tries again for them.
        """
        self._tried = self._clock()
        self.flush(within_s)  # 1
        offsets = dict(self._offsets)
        if offsets:
            self._consumer.commit(offsets)  # 2
        self._offsets.clear()  # 3
        return offsets

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions belong to another member: their offsets are not ours to store, their outputs not ours
        to repeat."""
        gone = set(partitions)
        self._offsets = {p: offset for p, offset in self._offsets.items() if p not in gone}
        self._outputs = [output for output in self._outputs if output.partition not in gone]

    def _hand_over(self, output: Output) -> None:
        self._producer.produce(output.topic, output.partition, output.keys, output.values, output.headers)

    def _given_up(self, error: BrokerError, within_s: float) -> ProduceFailed:
        where = f"{self._outputs[0].topic} partition {self._outputs[0].partition}"
        what = f"{self._waiting()} outputs, the first for {where}, not acknowledged within {within_s:g} s: {error.what}"
        return ProduceFailed(what, error.action or "look at the broker; nothing was committed for them")

    def _waiting(self) -> int:
        return sum(len(output.keys) for output in self._outputs)
