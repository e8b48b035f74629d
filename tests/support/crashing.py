"""Workers over the in-process broker that die, and what an outside reader then sees.

A worker dies by an exception that nothing in the service catches, at a place where a real one would
kill its process; then its membership ends and its open transaction runs out, as the broker would
see to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import BrokerUnavailable
from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.registry import Registry
from eddycast.service.state.arena import Arena
from eddycast.service.state.changelog import RowCodec, is_stream
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import AT_ONCE, CHANGELOG, DEAD, INPUT, OUTPUT, Worker, made, worker
from tests.support.tuning import Tuning

Rows = dict[int, dict[bytes, bytes]]


class Crash(BaseException):
    """The process is gone."""


def crash() -> None:
    """Stand-in for SIGKILL."""
    raise Crash


@dataclass
class Fleet:
    """Workers that share one broker; each start is a new process with a name of its own."""

    broker: FaultyBroker
    runtime: Runtime
    options: Tuning = AT_ONCE
    alive: list[Worker] = field(default_factory=list)
    started: int = 0
    registry: Registry | None = None  # its champion is served in place of `runtime`

    def start(self, place: str | None = None, after: int = 1, **changes: Any) -> Worker:
        """A new worker, which crashes when it passes `place` for the `after`-th time."""
        self.started += 1
        reached = CrashPoint(place, after, crash)
        options = replace(self.options, **changes)
        name = f"{self.started}"
        self.alive.append(worker(self.broker, self.runtime, options, name, reached, self.registry))
        return self.alive[-1]

    def kill(self, victim: Worker) -> None:
        """It is gone without a word; the broker notices both halves of it."""
        self.alive.remove(victim)
        self.broker.expel(victim.pipeline._delivery.connections.consumer)  # type: ignore[arg-type]
        self.broker.expire(victim.pipeline._delivery.connections.transactional_id)

    def turn(self, times: int = 1) -> int:
        """Turn each worker in order and drop those that crash; returns the number of records
        taken."""
        taken = 0
        for _ in range(times):
            for subject in list(self.alive):
                try:
                    taken += subject.turn()
                except BrokerUnavailable:
                    continue
                except Crash:
                    self.kill(subject)
        return taken

    def stop(self, subject: Worker) -> None:
        """Stop a worker as a signal does; it may still crash during its last commit."""
        self.alive.remove(subject)
        try:
            subject.finish()
        except Crash:
            self.alive.append(subject)
            self.kill(subject)

    def settle(self, done: Callable[[], bool] | None = None, turns: int = 300) -> None:
        """Turn until everything that was sent is done, with one worker at least."""
        for _ in range(turns):
            if not self.alive:
                self.start()
            self.turn()
            if (done or self.is_done)():
                return
        raise AssertionError(f"not done after {turns} turns")

    def is_done(self) -> bool:
        """True if the group's offsets have reached the end of the input."""
        stored = self.broker.group(INPUT, self.options.group).committed
        ends = {log.partition: log.end for log in self.broker.logs(INPUT)}
        return all(end == 0 or stored.get(p) == end for p, end in ends.items())


def outputs(broker: FaultyBroker) -> dict[str, list[tuple[int, bytes | None, bytes | None]]]:
    """Committed records by topic: partition, key and value in order."""
    return {
        topic: [(r.partition, r.key, r.value) for r in made(broker, topic)]
        for topic in (OUTPUT, DEAD)
    }


def stored(broker: FaultyBroker, changelog: str = CHANGELOG) -> Rows:
    """The rows that a restore would find, by partition and stream."""
    rows: Rows = {log.partition: {} for log in broker.logs(changelog)}
    for record in made(broker, changelog):
        key = record.key or b""
        if record.value is None:
            rows[record.partition].pop(key, None)
        elif is_stream(key):
            rows[record.partition][key] = record.value
    return rows


def held(subject: Worker) -> Rows:
    """The rows in a worker's memory, as it would store them."""
    store = subject.pipeline._store
    return {
        p: encoded(store.arena, store.codec, p)
        for p in subject.pipeline._delivery.partitions.committed
    }


def encoded(arena: Arena, codec: RowCodec, partition: int) -> dict[bytes, bytes]:
    """The rows of a partition, as records of the changelog."""
    streams = arena.streams(partition)
    slots = arena.slots(partition, streams)
    return dict(zip(streams, codec.encode(arena.prefix[slots], arena.gather(slots)), strict=True))


def all_served(
    broker: FaultyBroker, subject: Worker, polls: Sequence[int]
) -> tuple[object, object, object]:
    """Outputs by topic, the changelog, and the rows at the end, after a worker has read all there
    is in polls of these sizes, over and over, and stopped."""
    for poll in cycle(polls):
        subject.pipeline._delivery.backoff.limit = poll
        if not subject.turn() and subject.pipeline._delivery.partitions.serving:
            break
    rows = held(subject)
    subject.finish()
    written = [sorted(column, key=lambda one: one[0]) for column in outputs(broker).values()]
    return written, stored(broker), rows
