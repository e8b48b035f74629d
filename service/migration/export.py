"""Read all rows of a service from its changelog: `eddycast state export`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from eddycast.service.broker.port import Admin, Broker
from eddycast.service.bundle import CONTRACT, Manifest, TensorSpec
from eddycast.service.errors import StateError, TopicMissing
from eddycast.service.migration.snapshot import snapshots
from eddycast.service.records import ROW_PREFIX, Int64
from eddycast.service.settings.settings import Settings
from eddycast.service.state.adoption import Adoption, adopt_tensors, check_grid
from eddycast.service.state.changelog import Marker, RowCodec, Rows
from eddycast.service.state.model_record import ModelRecord, initial_record
from eddycast.service.state.own_tensors import row_specs
from eddycast.service.state.stream_time import Clock

#: Longest lag of the group's offsets behind the changelog, because the broker stores them a little
#: later, and the interval between two checks, s.
_SETTLE_S, _LOOK_S = 10.0, 0.1


class ExportedPartition(BaseModel):
    """One partition: its marker, and the group's committed offset when it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    partition: int
    next_offset: int
    streams: int
    newest: int
    committed: int
    trust: int = 1
    rival: int = -1
    record_time: int = -1
    record_offset: int = -1

    @property
    def clock(self) -> Clock:
        """The partition's clock."""
        return Clock(**{name: getattr(self, name) for name in Clock._fields})


class Header(BaseModel):
    """Metadata of an export. Partitions that were never committed are not in `parts`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1, 2] = 2
    contract: int = CONTRACT
    layout: str
    model: str
    # None in format 1, which does not record the meaning of rows
    rows_of: ModelRecord | None = None
    group: str
    topic: str
    partitions: int
    parts: tuple[ExportedPartition, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows in columns, one per stream: `partition` [n], `prefix` ROW_PREFIX [n],
    `tensors` name -> [n, ...]."""

    header: Header
    streams: list[bytes]
    partition: Int64
    prefix: NDArray[np.void]
    tensors: dict[str, NDArray[Any]]


def take_export(broker: Broker, settings: Settings, manifest: Manifest) -> Exported:
    """Return every row of the service that `settings` describe, each partition as of one commit.

    The service may be running: rows, next offset and number of streams of a partition belong to the
    same commit. Raises StateError if changelog and group offsets disagree, and for rows that the
    bundle cannot use; TopicMissing, BrokerUnavailable.
    """
    specs = row_specs(manifest, settings.time)
    codec = RowCodec(specs)
    topic, group, changelog = settings.topics.input, settings.kafka.group, settings.changelog
    adoption = Adoption(initial_record(manifest, codec.layout), bool(manifest.parts))
    with broker.admin() as admin, broker.reader(changelog) as reader:
        count = admin.partitions(changelog)
        if count is None:
            raise no_changelog(changelog)
        before = admin.group_offsets(group, topic)
        found: dict[int, Rows] = {}
        for snapshot in snapshots(reader, changelog, range(count), settings.waits.transactions_s):
            found[snapshot.partition] = _adopted(snapshot.rows(codec), adoption, snapshot.partition)
        markers = {p: rows.marker for p, rows in found.items() if rows.marker is not None}
        committed = agreeing(
            admin, group, topic, before, {p: marker.next_offset for p, marker in markers.items()}
        )
    header = Header(
        layout=codec.layout,
        model=manifest.label,
        rows_of=adoption.model,
        group=group,
        topic=topic,
        partitions=count,
        parts=tuple(_part(p, marker, committed[p]) for p, marker in markers.items()),
    )
    return _joined(header, found, specs)


def _part(partition: int, marker: Marker, committed: int) -> ExportedPartition:
    return ExportedPartition(
        partition=partition,
        next_offset=marker.next_offset,
        streams=marker.streams,
        committed=committed,
        **marker.clock._asdict(),
    )


def _adopted(rows: Rows, adoption: Adoption, partition: int) -> Rows:
    """Return the rows as a service with the bundle would restore them. Raises StateError."""
    place = f"partition {partition}"
    model = adoption.adopt(place, rows.recorded, rows.marker).model
    if rows.recorded.model is None:
        check_grid(place, rows.prefix, model)
    return replace(rows, tensors=adopt_tensors(model, rows.generations, rows.tensors))


def no_changelog(name: str) -> TopicMissing:
    """Return the error for a changelog that does not exist."""
    return TopicMissing(
        f"there is no changelog {name}", "name the service's kafka.group, or its topics.changelog"
    )


def agreeing(
    admin: Admin, group: str, topic: str, before: Mapping[int, int], markers: Mapping[int, int]
) -> dict[int, int]:
    """Return the group's offsets once none of them is behind its marker.

    `before` are the offsets from before the markers were read. A commit stores rows and offset
    together, so a marker lies between the offsets read before and after it. Raises StateError if
    that is not the case.
    """
    deadline = time.monotonic() + _SETTLE_S
    while True:
        after = admin.group_offsets(group, topic)
        behind = sorted(p for p, at in markers.items() if p not in after or after[p] < at)
        if not behind or time.monotonic() > deadline:
            break
        time.sleep(_LOOK_S)
    ahead = sorted(p for p, offset in before.items() if markers.get(p, -1) < offset)
    for p in behind + ahead:
        at, stored = markers.get(p, "none"), (after if p in behind else before).get(p, "none")
        what = (
            f"partition {p}: the group {group} has committed offset "
            f"{stored} of {topic}, the changelog's marker is {at}"
        )
        raise StateError(
            what, "check that the changelog belongs to this group: the service would refuse it, too"
        )
    return after


def _joined(header: Header, found: Mapping[int, Rows], specs: Sequence[TensorSpec]) -> Exported:
    parts = list(found.values())
    counts = [len(rows.streams) for rows in parts]
    tensors = {}
    for spec in specs:
        none = np.empty((0, *spec.shape), spec.dtype)
        tensors[spec.name] = np.concatenate([none, *(rows.tensors[spec.name] for rows in parts)])
    return Exported(
        header,
        [stream for rows in parts for stream in rows.streams],
        np.repeat(np.array(list(found), np.int64), counts),
        np.concatenate([np.empty(0, ROW_PREFIX), *(rows.prefix for rows in parts)]),
        tensors,
    )
