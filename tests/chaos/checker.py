"""Comparison of a disturbed run with an undisturbed one, bit for bit.
Small on purpose, so that it can be read whole.

A run leaves records on its output topics and rows in its changelog. `read` takes all of a topic
that is committed, through kafka-python's public consumer and without code of the service; `compare`
and `compare_rows` list differences:

    lost      the reference has the record, the other run has not (or not as often)
    twice     the other run has it more often than the reference, which has it
    alien     the other run has a record that the reference has nowhere:
              altered bits, another partition, another key
    order     the same records of a stream, in another order
    row       the last word of the changelog on a stream, or a partition's marker, differs

Where delivery is at least once, records may come again: nothing is `twice` then, and the order is
that in which records come for the first time. All the rest holds as before, for rows without
exception.

A record is its topic, partition, key, value and headers.
Its offset and its time are the broker's and are left out.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition


class Record(NamedTuple):
    """The compared parts of a record. A stream is its partition and key."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One record, or one row, that is not as in the reference run."""

    kind: str  # lost, twice, alien, order or row
    record: Record


Stream = tuple[int, bytes | None]


def compare(
    expected: Iterable[Record], found: Iterable[Record], may_repeat: bool = False
) -> list[Difference]:
    """Differences between the records of one topic.
    Records of different streams may come in any order."""
    before, after = _by_stream(expected), _by_stream(found)
    differences: list[Difference] = []
    for stream in before.keys() | after.keys():
        wanted, got = before.get(stream, []), after.get(stream, [])
        missing, surplus, known = (
            Counter(wanted) - Counter(got),
            Counter(got) - Counter(wanted),
            set(wanted),
        )
        if may_repeat:
            surplus = Counter(
                {record: often for record, often in surplus.items() if record not in known}
            )
            wanted, got = list(dict.fromkeys(wanted)), list(dict.fromkeys(got))
        differences += [Difference("lost", record) for record in missing.elements()]
        differences += [
            Difference("twice" if record in known else "alien", record)
            for record in surplus.elements()
        ]
        if not missing and not surplus:
            differences += [
                Difference("order", b) for a, b in zip(wanted, got, strict=True) if a != b
            ]
    return differences


def compare_rows(expected: Iterable[Record], found: Iterable[Record]) -> list[Difference]:
    """Differences between the rows of two changelogs. The record is the found run's;
    the reference's if it has none."""
    before, after = _last(expected), _last(found)
    streams = [
        stream for stream in before.keys() | after.keys() if before.get(stream) != after.get(stream)
    ]
    return [
        Difference("row", Record(*stream, after.get(stream, before.get(stream))))
        for stream in streams
    ]


def read(servers: str, topic: str, within_s: float = 60.0) -> list[Record]:
    """Every committed record of a topic, by partition in the order of the log.
    Waits until what is open is decided.

    The end is taken first and read uncommitted: no transaction can hide behind its own open end.
    Raises TimeoutError.
    """
    client = KafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=None,
    )
    outside = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_uncommitted", group_id=None
    )
    try:
        where = [
            TopicPartition(topic, partition)
            for partition in sorted(client.partitions_for_topic(topic) or ())
        ]
        ends = outside.end_offsets(where)
        client.assign(where)
        found: dict[int, list[Record]] = {place.partition: [] for place in where}
        deadline = time.monotonic() + within_s
        while any(client.position(place) < ends[place] for place in where):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} has a transaction that does not end")
            for place, records in client.poll(timeout_ms=100).items():
                found[place.partition] += [
                    Record(r.partition, r.key, r.value, tuple(r.headers)) for r in records
                ]
        return [record for records in found.values() for record in records]
    finally:
        client.close(autocommit=False)
        outside.close(autocommit=False)


def _by_stream(records: Iterable[Record]) -> dict[Stream, Sequence[Record]]:
    streams: dict[Stream, list[Record]] = defaultdict(list)
    for record in records:
        streams[record.partition, record.key].append(record)
    return dict(streams)


def _last(records: Iterable[Record]) -> dict[Stream, bytes]:
    """The records that compaction keeps: the last value of each key, unless that is a tombstone."""
    last = {(record.partition, record.key): record.value for record in records}
    return {stream: value for stream, value in last.items() if value is not None}
