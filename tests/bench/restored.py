"""Restore a changelog: `python -m tests.bench.restored ADDRESS TOPIC bulk|public STREAMS < SPECS`,
one line of JSON.

The service's own `Restore` on a reader of real Kafka,
from nothing assigned to all partitions ready.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import psutil

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.broker.port import Consumer
from eddycast.service.delivery.partition import Partitions
from eddycast.service.delivery.restore import Restore
from eddycast.service.delivery.start_positions import StartPosition, StartPositions
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.state.adoption import Adoption
from eddycast.service.state.arena import Arena
from eddycast.service.state.changelog import RowCodec
from tests.bench.changelogs import COMMITTED, PARTITIONS, codec, model
from tests.bench.specs import Spec, read_specs

_SLICE_S = 0.1


class _Group:
    """A group that has committed what the markers say."""

    def committed(
        self, partitions: Collection[int], timeout_s: float = 10.0
    ) -> dict[int, int | None]:
        return dict.fromkeys(partitions, COMMITTED)


class _Input:
    """An input of which nothing was deleted."""

    def find(
        self, committed: Mapping[int, int | None], timeout_s: float = 10.0
    ) -> dict[int, StartPosition]:
        return {partition: StartPosition(offset or 0) for partition, offset in committed.items()}


@dataclass(frozen=True)
class _Rows:
    """The destination of restored rows."""

    arena: Arena
    codec: RowCodec
    adoption: Adoption

    def close(self, partition: int) -> None:
        self.arena.free_partition(partition)


def restore(
    address: str, topic: str, bulk: bool, streams: int, specs: Sequence[Spec]
) -> dict[str, Any]:
    """Seconds of it, records read, and bytes a stream that the process has grown by:
    at the end, and at most."""
    reader = KafkaBroker(KafkaSettings(bootstrap_servers=address, bulk=bulk)).reader(topic)
    process = psutil.Process()
    np.zeros(1 << 20).fill(1.0)
    gc.collect()
    before = process.memory_info().rss
    rows = _Rows(Arena(specs), codec(specs), Adoption(model(specs), declares_parts=True))
    group, source = cast(Consumer, _Group()), cast(StartPositions, _Input())
    start, cpu, most = time.perf_counter(), time.process_time(), 0
    partitions = Partitions(rows, reader)
    subject = Restore(partitions, group, reader, source, rows, PARTITIONS)
    partitions.assign(range(PARTITIONS), 0.0)
    while partitions.pending:
        for done in subject.advance(_SLICE_S):
            done.partition.serve()
        most = max(most, process.memory_info().rss - before)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    reader.close()
    if len(rows.arena) != streams:
        raise RuntimeError(f"{len(rows.arena)} streams came back of {streams}")
    gc.collect()
    resident = process.memory_info().rss - before
    return {
        "seconds": seconds,
        "cpu_s": cpu,
        "records": sum(p.restoration.records for p in partitions if p.restoration is not None),
        "resident": resident / streams,
        "peak": most / streams,
    }


def main(address: str, topic: str, way: str, streams: str) -> None:
    """Run one; calm the collector as the service does."""
    from eddycast.service.app import calm_collector

    with calm_collector():
        found = restore(address, topic, way == "bulk", int(streams), read_specs(sys.stdin))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
