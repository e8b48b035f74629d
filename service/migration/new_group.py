"""Write rows and offsets for a group without members: the end of `state import` and `state seed`.

The order of writing makes crashes harmless:

    1  model and marker of every partition  in one transaction; from now on services refuse the
                                            partitions, because no group has the marker's offset
    2  rows, in bounded transactions        the last one of a partition ends with the true marker,
                                            like a commit
    3  the group's offsets                  in one request; only now do markers and offsets agree

What was interrupted before 3 is refused by `serve`, and by the next import or seed, whose error
explains how to start over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from eddycast.service.broker.port import Admin, Broker, Producer
from eddycast.service.errors import BrokerError, StateError
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, UNFINISHED, Marker, RowCodec
from eddycast.service.state.model_record import ModelRecord

#: Approximate bytes of rows in one transaction.
_TRANSACTION_BYTES = 4 << 20


class RowSource(Protocol):
    """The rows to write."""

    @property
    def codec(self) -> RowCodec: ...
    @property
    def model(self) -> ModelRecord: ...

    def streams(self, partition: int) -> Sequence[bytes]:
        """The streams of a partition."""

    def encoded(self, partition: int, part: slice) -> Sequence[bytes]:
        """The rows of some of them, as values of the changelog."""


def write_group(
    broker: Broker,
    admin: Admin,
    settings: Settings,
    rows: RowSource,
    markers: Mapping[int, Marker],
    gone: Mapping[int, Sequence[bytes]],
) -> dict[int, int]:
    """Write everything in the order above; returns the group's offsets.

    `markers` are those of every partition of the input; `gone` the streams whose rows are removed
    from the changelog. Raises StateError if it is interrupted by a failure of the broker.
    """
    offsets = {partition: marker.next_offset for partition, marker in markers.items()}
    within_s = settings.waits.commit_s
    transactional_id = f"{settings.commit.transactional_prefix}-{settings.kafka.group}-import"
    with (
        _begin_over(settings),
        broker.producer(transactional_id) as producer,
    ):
        with _transaction(producer, within_s):
            for partition, marker in markers.items():
                producer.produce(settings.changelog, partition, *_first(rows, marker))
        for partition, marker in markers.items():
            writer = _Writer(producer, settings.changelog, partition, within_s)
            writer.write(rows, marker, gone.get(partition, ()))
        admin.set_group_offsets(settings.kafka.group, settings.topics.input, offsets)
    return offsets


def check_no_members(admin: Admin, settings: Settings) -> None:
    """Raise StateError if the group has members."""
    group = settings.kafka.group
    if members := admin.members(group):
        raise StateError(
            f"the group {group} has {members} member{'s' if members > 1 else ''}",
            "stop its services, or name a new group with --kafka.group",
        )


def check_no_offsets(admin: Admin, settings: Settings, otherwise: str) -> None:
    """Raise StateError if the group has offsets of the input. `otherwise` is what to do beside
    naming a new group."""
    group, topic = settings.kafka.group, settings.topics.input
    if admin.group_offsets(group, topic):
        raise StateError(
            f"the group {group} has offsets of {topic} already",
            f"name a new one with --kafka.group, or {otherwise}",
        )


def check_empty_changelog(broker: Broker, admin: Admin, settings: Settings, otherwise: str) -> None:
    """Raise StateError if the changelog holds records; `otherwise` as in `check_no_offsets`."""
    name = settings.changelog
    partitions = admin.partitions(name)
    if partitions is None:
        return
    with broker.reader(name) as reader:
        first, end = reader.first(range(partitions)), reader.end(range(partitions))
    holding = [partition for partition in range(partitions) if first[partition] < end[partition]]
    if holding:
        raise StateError(
            f"the changelog {name} holds records, for example in partition {holding[0]}",
            f"name a new group with --kafka.group, or {otherwise}",
        )


def deleting(topic: str) -> str:
    """The command that deletes a topic."""
    return f"kafka-topics.sh --delete --topic {topic}"


def _first(
    rows: RowSource, marker: Marker
) -> tuple[Sequence[bytes | None], Sequence[bytes | None]]:
    """Keys and values of the records that precede the rows of a partition."""
    layout, described = rows.codec.layout_record()
    model = rows.model.model_copy(update={"offset": marker.next_offset})
    unfinished = replace(marker, next_offset=UNFINISHED)
    return [layout, MODEL_KEY, MARKER_KEY], [
        described,
        rows.codec.encode_model(model),
        rows.codec.encode_marker(unfinished),
    ]


class _Writer:
    """Step 2 for one partition."""

    def __init__(self, producer: Producer, topic: str, partition: int, within_s: float) -> None:
        self._producer, self._place, self._within_s = producer, (topic, partition), within_s

    def write(self, rows: RowSource, marker: Marker, gone: Sequence[bytes]) -> None:
        """Write tombstones and rows, and the marker with the last of them."""
        partition = self._place[1]
        streams, size = rows.streams(partition), max(1, _TRANSACTION_BYTES // rows.codec.row_bytes)
        if gone:
            self._commit(list(gone), [None] * len(gone))
        for start in range(0, max(1, len(streams)), size):
            part = slice(start, start + size)
            keys: list[bytes | None] = list(streams[part])
            values: list[bytes | None] = list(rows.encoded(partition, part))
            if start + size >= len(streams):
                keys, values = [*keys, MARKER_KEY], [*values, rows.codec.encode_marker(marker)]
            self._commit(keys, values)

    def _commit(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        with _transaction(self._producer, self._within_s):
            self._producer.produce(*self._place, keys, values)


@contextmanager
def _transaction(producer: Producer, within_s: float) -> Iterator[None]:
    producer.begin()
    yield
    producer.commit(within_s)


@contextmanager
def _begin_over(settings: Settings) -> Iterator[None]:
    """Turn a failure halfway into an error that explains how to start over."""
    try:
        yield
    except BrokerError as error:
        raise StateError(
            f"the import of rows was interrupted: {error.what}",
            f"start over: {deleting(settings.changelog)}, then run it again",
        ) from error
