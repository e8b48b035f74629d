"""Pauses of forecasts when a worker joins or leaves:
real processes, a steady feed, the broker's own clock.

Two workers serve all partitions; a third one joins and leaves, again and again, as a deployment or
an autoscaler would have it. The output topic stamps what is appended to it, so a pause is the
longest time between two committed forecasts of a partition around a change: of partitions that stay
with their worker, and of those that move.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.bench.load import START_MS
from tests.bench.plan import Plan
from tests.bench.report import Result, show
from tests.chaos.fleet import Fleet, await_true

PARTITIONS, STREAMS = 12, 8  # streams of a partition
_INPUT, _OUTPUT = "observations", "forecasts"
_TICK_S = 0.02
_SETTLED_S, _WITHIN_S = 3.0, 60.0
#: A member learns of a change with its next heartbeat; the rest gets half a second.
AIM_S = KafkaSettings().heartbeat_interval_ms / 1000 + 0.5
Owners = dict[int, str]


@dataclass(frozen=True)
class Change:
    """A worker joined or left: when (ms since the epoch, from and to),
    and who served what before and after."""

    what: str
    begin: float
    end: float
    before: Owners
    after: Owners


class Feed:
    """A reading of one stream of each partition at every tick, from a thread of its own."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._producer = broker.producer()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop.set()
        self._thread.join(10.0)
        self._producer.close(5.0)

    def _run(self) -> None:
        tick = 0
        while not self._stop.wait(_TICK_S):
            value = b'{"timestamp":%d,"value":20.0}' % (START_MS + tick // STREAMS * 60_000)
            for partition in range(PARTITIONS):
                self._producer.produce(
                    _INPUT, partition, [b"sensor-%d-%d" % (partition, tick % STREAMS)], [value]
                )
            self._producer.flush(10.0)
            tick += 1


def rebalancing(plan: Plan, bundle: Path) -> list[Result]:
    """The pauses of every change, and the longest time between two forecasts when nothing
    happens."""
    with KafkaServer(heap="1g") as server, tempfile.TemporaryDirectory() as logs:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=server.bootstrap_servers))
        admin = broker.admin()
        admin.create_topic(_INPUT, PARTITIONS)
        admin.create_topic(_OUTPUT, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
        admin.close()
        settings = {
            "BUNDLE__DIRECTORY": str(bundle.resolve()),
            "KAFKA__BOOTSTRAP_SERVERS": server.bootstrap_servers,
            "HTTP__PORT": "0",
            "LOG__FORMAT": "json",
        }
        feed = Feed(broker)
        with Fleet(settings, Path(logs)) as fleet:
            fleet.start()
            fleet.start()
            await_true(lambda: _shared(fleet), _WITHIN_S, "two workers do not share the partitions")
            feed.start()
            changes = _change(fleet, plan.rebalances)
            feed.stop()
            fleet.stop()
            if fleet.failed:
                raise SystemExit("\n".join(fleet.failed))
        stamps = _stamps(broker)
    return _report(changes, stamps)


def _change(fleet: Fleet, times: int) -> list[Change]:
    """A quiet while, then a worker joins and leaves so often."""
    changes, before = [], _owners(fleet)
    begin = _now_ms()
    time.sleep(2 * _SETTLED_S)
    changes.append(Change("none", begin + 1000 * _SETTLED_S, _now_ms(), before, before))
    for _ in range(times):
        begin, guest = _now_ms(), fleet.start()
        after = _settle(fleet)
        changes.append(Change("joins", begin, _now_ms(), before, after))
        begin, before = _now_ms(), after
        guest.signal(signal.SIGTERM)
        guest.wait(_WITHIN_S)
        fleet.remove(guest)
        after = _settle(fleet)
        changes.append(Change("leaves", begin, _now_ms(), before, after))
        before = after
        print(f"a worker joined and left: {len(changes) // 2} of {times}", file=sys.stderr)
    return changes


def _owners(fleet: Fleet) -> Owners:
    return {partition: worker.name for worker in fleet.alive for partition in worker.holds()}


def _shared(fleet: Fleet) -> bool:
    """True when each partition is served by exactly one worker and no worker is idle."""
    held = [worker.holds() for worker in fleet.alive]
    return all(held) and sum(map(len, held)) == len(set().union(*held)) == PARTITIONS


def _settle(fleet: Fleet) -> Owners:
    """Wait until it is shared out, and a while, in which it stays so."""
    await_true(lambda: _shared(fleet), _WITHIN_S, "the partitions are not shared out")
    owners = _owners(fleet)
    time.sleep(_SETTLED_S)
    if _owners(fleet) != owners:
        return _settle(fleet)
    return owners


def _now_ms() -> float:
    return time.time() * 1000


def _stamps(broker: KafkaBroker) -> dict[int, NDArray[np.int64]]:
    """Append times of the committed forecasts of each partition, ms since the epoch."""
    reader = broker.reader(_OUTPUT)
    found: dict[int, list[NDArray[np.int64]]] = {partition: [] for partition in range(PARTITIONS)}
    ends = reader.end(list(found))
    reader.start(reader.first(list(found)))
    while any(reader.position(partition) < end for partition, end in ends.items()):
        for batch in reader.poll(1.0, 100_000):
            found[batch.partition].append(batch.timestamps)
    reader.close()
    return {partition: np.concatenate(parts) for partition, parts in found.items()}


def pauses(change: Change, stamps: Mapping[int, NDArray[np.int64]], kept: bool) -> list[float]:
    """Seconds: the longest pause of each partition that stayed with its worker,
    or of each that moved."""
    found = []
    for partition, all_of_it in stamps.items():
        if (change.before[partition] == change.after[partition]) == kept:
            inside = all_of_it[(all_of_it >= change.begin) & (all_of_it <= change.end)]
            found.append(float(np.diff([change.begin, *inside, change.end]).max()) / 1000)
    return found


def _report(changes: list[Change], stamps: Mapping[int, NDArray[np.int64]]) -> list[Result]:
    groups = {
        "steady": [p for c in changes if c.what == "none" for p in pauses(c, stamps, kept=True)],
        "kept_joins": [
            p for c in changes if c.what == "joins" for p in pauses(c, stamps, kept=True)
        ],
        "kept_leaves": [
            p for c in changes if c.what == "leaves" for p in pauses(c, stamps, kept=True)
        ],
        "moved_joins": [
            p for c in changes if c.what == "joins" for p in pauses(c, stamps, kept=False)
        ],
        "moved_leaves": [
            p for c in changes if c.what == "leaves" for p in pauses(c, stamps, kept=False)
        ],
    }
    labels = {
        "steady": "nothing happens",
        "kept_joins": "partitions that stay, a worker joins",
        "kept_leaves": "partitions that stay, a worker leaves",
        "moved_joins": "partitions that move to it",
        "moved_leaves": "partitions that move from it",
    }
    show(
        "Rebalance: longest pause of committed forecasts, "
        f"{PARTITIONS} partitions, 2 workers and a third",
        ["", "seen", "median, s", "worst, s"],
        [
            [labels[g], str(len(f)), f"{median(f):.2f}", f"{max(f):.2f}"]
            for g, f in groups.items()
            if f
        ],
        "by the broker's stamps; aim for those that stay: "
        f"{AIM_S:g} s, a heartbeat and a half second",
    )
    kept = groups["kept_joins"] + groups["kept_leaves"]
    groups |= {"kept": kept, "moved": groups["moved_joins"] + groups["moved_leaves"]}
    return [
        Result(f"rebalance_pause_{group}_{name}", function(found), "s")
        for group, found in groups.items()
        if found
        for name, function in (("median", median), ("worst", max))
    ]
