"""Rows of an export become the changelog and the offsets of another group: what `eddycast state import` does.

The order of writing is what makes a crash harmless:

    1  model and marker, everywhere      in one transaction; from here on a service refuses every partition, for its
                                         group has no offset and the marker names one
    2  rows, in bounded transactions     each partition's last one ends with the marker again, as every commit does
    3  the group's offsets               in one request: only now do markers and offsets agree

Whatever is cut short before 3 is refused by `serve` and by the next import, which says how to begin over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from service.broker.port import Admin, Broker, Producer
from service.bundle import Manifest
from service.delivery.topics import prepare_topics
from service.errors import BrokerError, StateError
from service.migration.export import Exported
from service.migration.placement import Homes, find_homes
from service.migration.start_offsets import Begin, check_not_gone_on, check_nothing_waits, find_starts
from service.records import Int64
from service.settings.load import Settings
from service.state.adoption import ModelRecord, unserved
from service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from service.state.stream_time import Clock

#: Bytes of rows in one transaction, about.
_TRANSACTION_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the user knows better."""

    begin: Begin = "export"
    partitioner: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """What there is now: the group's offsets by partition, how many streams, and who placed them (None = as before)."""

    offsets: dict[int, int]
    streams: int
    partitioner: str | None


def bring_in(broker: Broker, settings: Settings, manifest: Manifest, exported: Exported, options: Options) -> Imported:
    """Write an export's rows and offsets for the group of `settings`, whose changelog must be empty.

    Raises StateError for whatever would not go on as the exported service would have, before anything is written;
    BrokerError, TopicMissing.
    """
    codec, topic, group = RowCodec(manifest.state), settings.topics.input, settings.kafka.group
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
            _write(broker, settings, _Rows(codec, unserved(manifest, codec.layout), exported, home), markers)
            admin.set_group_offsets(group, topic, offsets)
    return Imported(offsets, len(exported.streams), homes.partitioner)


def _places(
    broker: Broker, topic: str, partitions: int, exported: Exported, options: Options
) -> tuple[Homes, dict[int, int]]:
    """Where streams belong among the partitions of the input, and from where each is read. Raises StateError."""
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
            f"name a new one with --kafka.group, or forget this one: kafka-consumer-groups.sh --delete --group {group}",
        )


def _check_changelog_is_empty(broker: Broker, admin: Admin, name: str) -> None:
    partitions = admin.partitions(name)
    if partitions is None:
        return
    with broker.reader(name) as reader:
        first, end = reader.first(range(partitions)), reader.end(range(partitions))
        holding = [partition for partition in range(partitions) if first[partition] < end[partition]]
    if holding:
        delete = f"kafka-topics.sh --delete --topic {name}"
        raise StateError(
            f"the changelog {name} holds records, in partition {holding[0]} for one",
            f"name a new group with --kafka.group, or if they are of an import that was cut short: {delete}",
        )


def _markers(exported: Exported, home: Int64, offsets: dict[int, int], moved: bool) -> dict[int, Marker]:
    """One for each partition. Stream time is the exported one where streams have stayed together; else the newest stamp
    of those that are here now, so that nobody is forgotten for the haste of others."""
    told = {part.partition: part.clock for part in exported.header.parts}
    markers = {}
    for partition, offset in offsets.items():
        here = exported.prefix["last_timestamp"][home == partition]
        anew = Clock(int(here.max()), trust=1) if len(here) else Clock()
        markers[partition] = Marker(offset, len(here), anew if moved else told.get(partition, Clock()))
    return markers


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is written: rows of a model, each at home in a partition [n]."""

    codec: RowCodec
    model: ModelRecord
    exported: Exported
    home: Int64

    def first(self, marker: Marker) -> tuple[list[bytes | None], list[bytes | None]]:
        """Keys and values of what stands before the rows of a partition."""
        layout, described = self.codec.layout_record()
        model = self.model.model_copy(update={"offset": marker.next_offset})
        values: list[bytes | None] = [described, self.codec.encode_model(model), self.codec.encode_marker(marker)]
        return [layout, MODEL_KEY, MARKER_KEY], values


def _write(broker: Broker, settings: Settings, rows: _Rows, markers: dict[int, Marker]) -> None:
    """Steps 1 and 2."""
    codec, exported, home = rows.codec, rows.exported, rows.home
    name, within_s = settings.changelog, settings.waits.timeout_ms / 1000
    transactional_id = f"{settings.commit.transactional_prefix}-{settings.kafka.group}-import"
    with broker.producer(transactional_id) as producer:
        with _transaction(producer, within_s):
            for partition, marker in markers.items():
                producer.produce(name, partition, *rows.first(marker))
        for partition, marker in markers.items():
            here = np.flatnonzero(home == partition)
            parts = np.array_split(here, max(1, -(-len(here) * codec.row_bytes // _TRANSACTION_BYTES)))
            for last, part in zip([*[False] * (len(parts) - 1), True], parts, strict=True):
                keys: list[bytes | None] = [exported.streams[i] for i in part.tolist()]
                values: list[bytes | None] = list(
                    codec.encode(exported.prefix[part], {n: tensor[part] for n, tensor in exported.tensors.items()})
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
    """What is half written is refused by everybody; say so, and what to do."""
    try:
        yield
    except BrokerError as error:
        delete = f"kafka-topics.sh --delete --topic {settings.changelog}"
        raise StateError(
            f"the import was cut short: {error.what}", f"begin over: {delete}, then import again"
        ) from error
