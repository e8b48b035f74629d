"""Write an export into the changelog and offsets of another group: `eddycast state import`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eddycast.service.broker.port import Admin, Broker
from eddycast.service.bundle import Manifest
from eddycast.service.delivery.topic_checks import prepare_topics
from eddycast.service.migration.export import Exported
from eddycast.service.migration.new_group import (
    check_empty_changelog,
    check_no_members,
    check_no_offsets,
    deleting,
    write_group,
)
from eddycast.service.migration.placement import Homes, find_homes
from eddycast.service.migration.start_offsets import (
    Begin,
    check_not_gone_on,
    check_nothing_waits,
    find_starts,
)
from eddycast.service.records import Int64
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import Marker, RowCodec
from eddycast.service.state.model_record import ModelRecord, initial_record
from eddycast.service.state.own_tensors import row_specs
from eddycast.service.state.stream_time import Clock


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import that override what is inferred or checked."""

    begin: Begin = "export"
    partitioner: str | None = None
    force: bool = False
    beside: bool = False  # the exported group goes on: both forecast the same records


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
    codec, topic = RowCodec(row_specs(manifest, settings.time)), settings.topics.input
    with broker.admin() as admin:
        _check_group_is_new(broker, admin, settings)
        if not options.force and not options.beside:
            check_not_gone_on(admin, exported.header, topic, options.begin)
        partitions = prepare_topics(admin, settings, codec.row_bytes).partitions
        homes, offsets = _places(broker, topic, partitions, exported, options)
        home = homes.of(exported.streams, exported.partition)
        markers = _markers(exported, home, offsets, moved=homes.partitioner is not None)
        rows = _Rows(codec, initial_record(manifest, codec.layout), exported, home)
        write_group(broker, admin, settings, rows, markers, gone={})
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


def _check_group_is_new(broker: Broker, admin: Admin, settings: Settings) -> None:
    group = settings.kafka.group
    check_no_members(admin, settings)
    delete = f"kafka-consumer-groups.sh --delete --group {group}"
    check_no_offsets(admin, settings, f"delete this one: {delete}")
    again = f"if an import was interrupted, {deleting(settings.changelog)}"
    check_empty_changelog(broker, admin, settings, again)


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
    """The rows of an export; `home` [n] is the partition of each. A `RowSource`."""

    codec: RowCodec
    model: ModelRecord
    exported: Exported
    home: Int64

    def streams(self, partition: int) -> list[bytes]:
        return [self.exported.streams[i] for i in self._here(partition).tolist()]

    def encoded(self, partition: int, part: slice) -> list[bytes]:
        here, exported = self._here(partition)[part], self.exported
        tensors = {name: tensor[here] for name, tensor in exported.tensors.items()}
        return self.codec.encode(exported.prefix[here], tensors)

    def _here(self, partition: int) -> Int64:
        return np.flatnonzero(self.home == partition)
