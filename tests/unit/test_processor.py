"""Outputs do not depend on where a poll was cut into chunks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from eddycast.service.broker.memory.producer import MemoryProducer
from eddycast.service.delivery.topic_checks import prepare_topics
from eddycast.service.model.loading import load_runtime
from eddycast.service.observability.recorder import Stopwatch
from eddycast.service.processing.outputs import OutputLimits
from eddycast.service.processing.processor import Processor
from eddycast.service.records import Damage, PartitionBatch, next_offset
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.store import Store
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import (
    AT_ONCE,
    DEAD,
    INPUT,
    committed,
    errors,
    made,
    memory_broker,
    send,
    worker,
)
from tests.support.tuning import Tuning

MINUTE = 60_000


def test_dead_letters_stand_in_the_order_of_their_records(tmp_path: Path) -> None:
    """Late readings are found after unreadable ones, whatever their order."""
    write_bundle(tmp_path, Walk())
    broker = memory_broker()
    late, torn = {"timestamp": START_MS, "value": 1.0}, b"{"
    first = {"timestamp": START_MS + 9 * MINUTE, "value": 1.0}
    send(broker, [(0, b"s", value) for value in (torn, first, late, torn, late, torn)])
    subject = worker(broker, load_runtime(tmp_path), replace(AT_ONCE, late="dead_letter"))
    subject.turn(3)
    subject.finish()
    offsets = [errors(record.headers)["offset"] for record in made(broker, DEAD)]
    assert offsets == [b"0", b"2", b"3", b"4", b"5"]


RENAMED, TORN, TOMBSTONE = b'{"timestamp": 1, "temperature": 2}', b"{", None
KINDS: dict[str, tuple[list[tuple[bytes | None, bytes | None]], Tuning]] = {
    "one kind": ([(b"s%d" % i, RENAMED) for i in range(600)], AT_ONCE),
    "many kinds": (
        [(b"", TORN), (b"\xff", RENAMED), (b"s", TOMBSTONE), (b"s", b"[" * 9), (b"s", RENAMED)]
        * 120,
        AT_ONCE,
    ),
    "late": (
        [
            (b"s", b'{"timestamp":%d,"value":1}' % (START_MS + (i % 2) * 99 * MINUTE))
            for i in range(600)
        ],
        replace(AT_ONCE, late="dead_letter"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_dead_letters_leave_in_columns(tmp_path: Path, kind: str) -> None:
    """One produce call per letter would send a record batch and a request per letter."""
    write_bundle(tmp_path, Walk())
    records, options = KINDS[kind]
    broker = memory_broker(2)
    for partition in (0, 1):
        producer = broker.producer()
        producer.produce(
            "observations", partition, [key for key, _ in records], [value for _, value in records]
        )
        producer.flush(1.0)
    subject = worker(broker, load_runtime(tmp_path), options)
    calls: Counter[str] = Counter()
    produce = MemoryProducer.produce

    def counted(producer: MemoryProducer, topic: str, *rest: Any) -> None:
        calls[topic] += 1
        produce(producer, topic, *rest)

    with patch.object(MemoryProducer, "produce", counted):
        subject.turn(3)
    subject.finish()
    letters = made(broker, DEAD)
    assert len(letters) >= 2 * len(records) // 3
    assert calls[DEAD] <= 4  # a column a partition and chunk
    for partition in (0, 1):
        offsets = [
            int(errors(one.headers)["offset"]) for one in letters if one.partition == partition
        ]
        assert offsets == sorted(offsets)


def test_a_dead_letter_fits_a_topic_that_takes_little(tmp_path: Path) -> None:
    """Otherwise a record without an observation would be read again forever."""
    write_bundle(tmp_path, Walk())
    broker = FaultyBroker()
    broker.admin().create_topic(INPUT, 1)
    broker.admin().create_topic(DEAD, 1, config={"max.message.bytes": "5000"})
    limit = prepare_topics(broker.admin(), Settings(), 100).limits.letter_bytes
    send(
        broker,
        [(0, b"k" * 60_000, b"v" * 60_000), (0, b"s", {"timestamp": START_MS, "value": 1.0})],
    )
    subject = worker(broker, load_runtime(tmp_path), replace(AT_ONCE, max_letter_bytes=limit))
    subject.turn(3)
    subject.finish()
    assert committed(broker)[0] == 2 and len(made(broker)) == 1
    (letter,) = made(broker, DEAD)
    assert errors(letter.headers)["size"] == b"60000" and len(letter.value or b"") == limit


def test_a_batch_that_cannot_be_read_is_one_dead_letter(tmp_path: Path) -> None:
    """Among good records, bad ones, and a quarantined one."""
    write_bundle(tmp_path, Walk())
    runtime = load_runtime(tmp_path)
    store = Store(runtime.manifest, TimeSettings(state_ttl_s=10**6))
    work = Processor(runtime, store, Settings(), OutputLimits(1_000_000), Stopwatch())
    damage = Damage(12, 40, "zstd", "undecodable", "offsets 12 to 40 cannot be read")
    offsets = np.array([10, 11, 12, 41, 42])
    good = b'{"timestamp":%d,"value":1}' % START_MS
    values: list[bytes | None] = [good, b"{", b"the batch", good, good]
    keys: list[bytes | None] = [b"a", b"b", None, b"c", b"d"]
    batch = PartitionBatch("in", 3, keys, values, np.full(5, START_MS), offsets, {12: damage}, 50)
    (chunk,) = work.chunks([batch], {(3, 41)}, 1000, 1e9)
    done = work.run(chunk)
    assert [(one.offset, one.error) for one in done.letters] == [
        (11, "not_json"),
        (12, "undecodable"),
        (41, "failed"),
    ]
    headers = errors((done.outputs[-1].headers or [[]])[1])
    assert (headers["offset"], headers["last_offset"], headers["codec"]) == (b"12", b"40", b"zstd")
    assert done.outputs[-1].values[1] == b"the batch" and done.outputs[0].keys == [b"a", b"d"]
    assert next_offset(chunk[0].batch) == 50
