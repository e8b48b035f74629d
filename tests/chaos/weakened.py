"""The service without one of its guards: `python -m tests.chaos.weakened GUARD serve`.
The proof has to notice.

handover     a revocation is only noted; the commit follows after the poll,
             when others own the partitions
membership   who we are is asked for at the commit, not captured by the poll;
             whoever is nobody commits as nobody
end          rows are restored up to the read-committed end of the changelog,
             and their marker is believed
rows         rows are not rolled back
producer     a producer goes on after an error
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from eddycast.service.__main__ import main
from eddycast.service.broker.kafka.consumer import KafkaConsumer
from eddycast.service.broker.kafka.producer import KafkaProducer
from eddycast.service.broker.kafka.reader import KafkaReader
from eddycast.service.delivery.checkpoint import Checkpoint
from eddycast.service.delivery.handover import Handover
from eddycast.service.delivery.partition import Partition, Restoration
from eddycast.service.delivery.restore import Restore, Restored
from eddycast.service.pipeline import Pipeline
from eddycast.service.state.changelog import Marker
from eddycast.service.state.store import Store
from eddycast.service.state.stream_time import Clock
from tests.chaos.fleet import WHOLE, Build


def _handover() -> None:
    revoked, poll, remaining = Handover.revoked, Pipeline._poll, Checkpoint.remaining
    noted: list[tuple[float, Handover, Collection[int]]] = []

    def commit_later(self: Pipeline, most: int) -> Any:
        batches = poll(self, most)
        while noted and time.monotonic() >= noted[0][0] + _LATE_S:
            revoked(*noted.pop(0)[1:])
        return [batch for batch in batches if self._delivery.partitions.is_serving(batch.partition)]

    def wait(self: Checkpoint, backlog: bool = False) -> float:
        return _LATE_S if noted else remaining(self, backlog)

    Handover.revoked = lambda *call: noted.append((time.monotonic(), *call))  # type: ignore[method-assign]
    Pipeline._poll = commit_later  # type: ignore[method-assign]
    Checkpoint.remaining = wait  # type: ignore[method-assign]


def _membership() -> None:
    KafkaConsumer.membership = property(lambda self: self._client.group_metadata())  # type: ignore[assignment,method-assign]
    KafkaConsumer.transaction_offsets = KafkaConsumer._for_commit  # type: ignore[method-assign]


Finish = Callable[[Restore, Partition, Restoration], Restored]


def believing(finish: Finish) -> Finish:
    """`Restore._finish` that takes what was read for all there is."""

    def unchecked(self: Restore, partition: Partition, read: Restoration) -> Restored:
        streams = self._rows.arena.count(partition.number)
        clock = Clock() if read.marker is None else read.marker.clock
        model = read.recorded.model
        generation = None if model is None else model.generation
        read.marker = (
            None if read.committed is None else Marker(read.committed, streams, clock, generation)
        )
        return finish(self, partition, read)

    return unchecked


def _end() -> None:
    def end(
        self: KafkaReader, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int]:
        return self._ask(self._committed.end_offsets, partitions, timeout_s)

    KafkaReader.end = end  # type: ignore[method-assign]
    Restore._finish = believing(Restore._finish)  # type: ignore[method-assign,assignment]


def _rows() -> None:
    Store.roll_back = lambda self: None  # type: ignore[method-assign]


def go_on(self: KafkaProducer, reason: Exception, cause: BaseException) -> NoReturn:
    """`KafkaProducer._end` that ends nothing."""
    self._queued = []
    raise reason from cause


def _producer() -> None:
    roll_back = Checkpoint.roll_back
    KafkaProducer._end = go_on  # type: ignore[method-assign]
    Checkpoint.roll_back = lambda self, within_s, keep_producer: roll_back(self, within_s, True)  # type: ignore[method-assign]


#: Delay of the commit after a revocation, s: others have restored and served the partitions by
#: then.
_LATE_S = 2.0
#: Settings that put more at risk.
_EXPOSED = {"COMMIT__INTERVAL_MS": "1500", "KAFKA__TRANSACTION_TIMEOUT_MS": "8000"}
GUARDS: dict[str, Callable[[], None]] = {
    "handover": _handover,
    "membership": _membership,
    "end": _end,
    "rows": _rows,
    "producer": _producer,
}


def without(guard: str | None) -> Build:
    """Workers that lack a guard, or none; all of them with more at risk than usual."""
    return Build(
        WHOLE.command if guard is None else ("-m", "tests.chaos.weakened", guard, "serve"), _EXPOSED
    )


if __name__ == "__main__":
    GUARDS[sys.argv.pop(1)]()
    main()
