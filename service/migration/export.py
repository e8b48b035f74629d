"""All rows of a service with what belongs to them, taken from its changelog: what `eddycast state export` writes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.broker.port import Admin, Broker
from service.bundle import CONTRACT, Manifest
from service.errors import StateError, TopicMissing
from service.migration.snapshot import snapshots
from service.records import PREFIX, Int64
from service.settings.load import Settings
from service.state.adoption import Adoption, ModelRecord, adopt_tensors, check_grid, unserved
from service.state.changelog import RowCodec, Rows
from service.state.stream_time import Clock

#: How long the group's offsets may be behind the changelog, s: the broker writes them down a moment later.
_SETTLE_S, _LOOK_S = 10.0, 0.1


class Part(BaseModel):
    """One partition: its marker, and what the group had committed when it was read."""

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
        """The partition's time."""
        return Clock(**{name: getattr(self, name) for name in Clock._fields})


class Header(BaseModel):
    """What the rows are. Partitions that were never committed are not among `parts`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1, 2] = 2
    contract: int = CONTRACT
    layout: str
    model: str
    rows_of: ModelRecord | None = None  # None in format 1: what the rows mean is not known
    group: str
    topic: str
    partitions: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows in columns, one a stream: `partition` [n], `prefix` PREFIX [n], `tensors` name -> [n, ...]."""

    header: Header
    streams: list[bytes]
    partition: Int64
    prefix: NDArray[np.void]
    tensors: dict[str, NDArray[Any]]


def take_export(broker: Broker, settings: Settings, manifest: Manifest) -> Exported:
    """Every row of the service that `settings` describe, each partition as one of its commits left it.

    A service may run meanwhile: a partition's rows, its next offset and its streams are those of one commit. Raises
    StateError where changelog and offsets of the group disagree, and for rows that mean something else; TopicMissing,
    BrokerUnavailable.
    """
    codec = RowCodec(manifest.state)
    topic, group, changelog = settings.topics.input, settings.kafka.group, settings.changelog
    adoption = Adoption(unserved(manifest, codec.layout), bool(manifest.parts))
    with broker.admin() as admin, broker.reader(changelog) as reader:
        count = admin.partitions(changelog)
        if count is None:
            raise no_changelog(changelog)
        before = admin.group_offsets(group, topic)
        found: dict[int, Rows] = {}
        for snapshot in snapshots(reader, changelog, range(count), settings.kafka.transaction_timeout_ms * 2 / 1000):
            found[snapshot.partition] = _adopted(snapshot.rows(codec), adoption, snapshot.partition)
        markers = {p: rows.marker.next_offset for p, rows in found.items() if rows.marker is not None}
        committed = agreeing(admin, group, topic, before, markers)
    parts = tuple(
        Part(partition=p, next_offset=m.next_offset, streams=m.streams, committed=committed[p], **m.clock._asdict())
        for p, rows in found.items()
        if (m := rows.marker) is not None
    )
    header = Header(
        layout=codec.layout,
        model=manifest.label,
        rows_of=adoption.model,
        group=group,
        topic=topic,
        partitions=count,
        parts=parts,
    )
    return _joined(header, found, manifest)


def _adopted(rows: Rows, adoption: Adoption, partition: int) -> Rows:
    """The rows as a service with the bundle would restore them. Raises StateError."""
    place = f"partition {partition}"
    model = adoption.adopt(place, rows.recorded, rows.marker).model
    if rows.recorded.model is None:
        check_grid(place, rows.prefix, model)
    return replace(rows, tensors=adopt_tensors(model, rows.generations, rows.tensors))


def no_changelog(name: str) -> TopicMissing:
    """There is nothing to look at."""
    return TopicMissing(f"there is no changelog {name}", "name the service's kafka.group, or its topics.changelog")


def agreeing(
    admin: Admin, group: str, topic: str, before: Mapping[int, int], markers: Mapping[int, int]
) -> dict[int, int]:
    """The group's offsets, once none is behind its marker. `before` are those from before the markers were read.

    A commit stores rows and offset together, so a marker that was read between two looks at the offsets lies between
    what they saw, and an idle group has all three equal. Raises StateError where that is not so.
    """
    deadline = time.monotonic() + _SETTLE_S
    while True:
        after = admin.group_offsets(group, topic)
        behind = sorted(p for p, marker in markers.items() if after.get(p, -1) < marker)
        if not behind or time.monotonic() > deadline:
            break
        time.sleep(_LOOK_S)
    ahead = sorted(p for p, offset in before.items() if markers.get(p, -1) < offset)
    for p in behind + ahead:
        at, stored = markers.get(p, "none"), (after if p in behind else before).get(p, "none")
        what = (
            f"partition {p}: the group {group} has committed offset {stored} of {topic}, the changelog's marker: {at}"
        )
        raise StateError(what, "is it this group's changelog? the service would refuse it, too; nothing was exported")
    return after


def _joined(header: Header, found: Mapping[int, Rows], manifest: Manifest) -> Exported:
    parts = list(found.values())
    counts = [len(rows.streams) for rows in parts]
    tensors = {
        spec.name: np.concatenate(
            [np.empty((0, *spec.shape), spec.dtype), *(rows.tensors[spec.name] for rows in parts)]
        )
        for spec in manifest.state
    }
    return Exported(
        header,
        [stream for rows in parts for stream in rows.streams],
        np.repeat(np.array(list(found), np.int64), counts),
        np.concatenate([np.empty(0, PREFIX), *(rows.prefix for rows in parts)]),
        tensors,
    )
