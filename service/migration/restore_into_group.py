"""Write an export into the changelog and offsets of another group: `eddycast state import`.

The order of writing makes crashes harmless:

    1  model and marker of every partition  in one transaction; from now on services refuse the
                                            partitions, because markers name offsets that the
                                            group does not have
    2  rows, in bounded transactions        the last one of a partition ends with the marker,
                                            like a commit
    3  the group's offsets                  in one request; only now do markers and offsets agree

An import that was interrupted before 3 is refused by `serve` and by the next import,
whose error explains how to start over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from eddycast.service.broker.port import Admin, Broker, Producer
from eddycast.service.bundle import Manifest
from eddycast.service.delivery.topic_checks import prepare_topics
from eddycast.service.errors import BrokerError, StateError
from eddycast.service.migration.export import Exported
from eddycast.service.migration.placement import Homes, find_homes
from eddycast.service.migration.start_offsets import (
    Begin,
    check_not_gone_on,
    check_nothing_waits,
    find_starts,
)
from eddycast.service.records import Int64
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from eddycast.service.state.model_record import ModelRecord, initial_record
from eddycast.service.state.own_tensors import row_specs
from eddycast.service.state.stream_time import Clock

#: Approximate bytes of rows in one transaction.
_TRANSACTION_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import that override what is inferred or checked."""

    begin: Begin = "export"
    partitioner: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import; `partitioner` is None if streams kept their partitions."""

    offsets: dict[int, int]
    streams: int
    partitioner: str | None


def import_rows(
    broker: Broker,
    settings: Settings,
    manifest: Manifest,
    exported: Exported,
    options: ImportOptions,
) -> Imported:
    """Write an export's rows and offsets for the group of `settings`,
    whose changelog must be empty.

    Raises StateError, before anything is written, if the new group would not continue exactly where
    the exported one stopped; BrokerError, TopicMissing.
    """
    codec = RowCodec(row_specs(manifest, settings.time))
    topic, group = settings.topics.input, settings.kafka.group
    with broker.admin() as admin:
        _check_group_is_new(admin, group, topic)
        _check_changelog_is_empty(broker, admin, settings.changelog)
        if not options.force:
            check_not_gone_on(admin, exported.header, topic, options.begin)
        partitions = prepare_topics(admin, settings, codec.row_bytes).partitions
        homes, offsets = _places(broker, topic, partitions, exported, options)
        home = homes.of(exported.streams, exported.partition)
        markers = _markers(exported, home, offsets, moved=homes.partitioner is not None)
        with _begin_over(settings):
            _write(
                broker,
                settings,
                _Rows(codec, initial_record(manifest, codec.layout), exported, home),
                markers,
            )
            admin.set_group_offsets(group, topic, offsets)
    return Imported(offsets, len(exported.streams), homes.partitioner)


def _places(
    broker: Broker, topic: str, partitions: int, exported: Exported, options: ImportOptions
) -> tuple[Homes, dict[int, int]]:
    """Return the placement of streams and the start offset of each input partition.
    Raises StateError."""
    header = exported.header
    named = options.partitioner, options.force
    homes = find_homes(exported.streams, exported.partition, header.partitions, partitions, *named)
    with broker.reader(topic) as reader:
        offsets = find_starts(reader, header, topic, partitions, options.begin)
        if not options.force and options.begin == "export" and header.topic == topic:
            check_nothing_waits(reader, topic, offsets, header.partitions, homes)
    return homes, offsets


def _check_group_is_new(admin: Admin, group: str, topic: str) -> None:
    if members := admin.members(group):
        raise StateError(
            f"the group {group} has {members} member{'s' if members > 1 else ''}",
            "stop its services, or name a new group with --kafka.group",
        )
    if admin.group_offsets(group, topic):
        raise StateError(
            f"the group {group} has offsets of {topic} already",
            "name a new one with --kafka.group, or delete this one: "
            f"kafka-consumer-groups.sh --delete --group {group}",
        )


def _check_changelog_is_empty(broker: Broker, admin: Admin, name: str) -> None:
    partitions = admin.partitions(name)
    if partitions is None:
        return
    with broker.reader(name) as reader:
        first, end = reader.first(range(partitions)), reader.end(range(partitions))
        holding = [
            partition for partition in range(partitions) if first[partition] < end[partition]
        ]
    if holding:
        delete = f"kafka-topics.sh --delete --topic {name}"
        raise StateError(
            f"the changelog {name} holds records, for example in partition {holding[0]}",
            f"name a new group with --kafka.group, or, if an import was interrupted: {delete}",
        )


def _markers(
    exported: Exported, home: Int64, offsets: dict[int, int], moved: bool
) -> dict[int, Marker]:
    """Return a marker for each partition.

    The clock is the exported one if streams kept their partitions. Otherwise it starts at the
    newest stamp of the streams placed there, so that no stream is evicted because of the clocks of
    others.
    """
    exported_clocks = {part.partition: part.clock for part in exported.header.parts}
    markers = {}
    for partition, offset in offsets.items():
        here = exported.prefix["last_timestamp"][home == partition]
        initial = Clock(int(here.max()), trust=1) if len(here) else Clock()
        markers[partition] = Marker(
            offset, len(here), initial if moved else exported_clocks.get(partition, Clock())
        )
    return markers


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to write; `home` [n] is the partition of each."""

    codec: RowCodec
    model: ModelRecord
    exported: Exported
    home: Int64

    def first(self, marker: Marker) -> tuple[list[bytes | None], list[bytes | None]]:
        """Return keys and values of the records that precede the rows of a partition."""
        layout, described = self.codec.layout_record()
        model = self.model.model_copy(update={"offset": marker.next_offset})
        values: list[bytes | None] = [
            described,
            self.codec.encode_model(model),
            self.codec.encode_marker(marker),
        ]
        return [layout, MODEL_KEY, MARKER_KEY], values


def _write(broker: Broker, settings: Settings, rows: _Rows, markers: dict[int, Marker]) -> None:
    """Do steps 1 and 2 of the list at the top of this file."""
    codec, exported, home = rows.codec, rows.exported, rows.home
    name, within_s = settings.changelog, settings.waits.commit_s
    transactional_id = f"{settings.commit.transactional_prefix}-{settings.kafka.group}-import"
    with broker.producer(transactional_id) as producer:
        with _transaction(producer, within_s):
            for partition, marker in markers.items():
                producer.produce(name, partition, *rows.first(marker))
        for partition, marker in markers.items():
            here = np.flatnonzero(home == partition)
            parts = np.array_split(
                here, max(1, -(-len(here) * codec.row_bytes // _TRANSACTION_BYTES))
            )
            for last, part in zip([*[False] * (len(parts) - 1), True], parts, strict=True):
                keys: list[bytes | None] = [exported.streams[i] for i in part.tolist()]
                values: list[bytes | None] = list(
                    codec.encode(
                        exported.prefix[part],
                        {n: tensor[part] for n, tensor in exported.tensors.items()},
                    )
                )
                if last:
                    keys, values = [*keys, MARKER_KEY], [*values, codec.encode_marker(marker)]
                with _transaction(producer, within_s):
                    producer.produce(name, partition, keys, values)


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
        delete = f"kafka-topics.sh --delete --topic {settings.changelog}"
        raise StateError(
            f"the import was interrupted: {error.what}", f"start over: {delete}, then import again"
        ) from error
