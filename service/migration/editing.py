"""Remove or rename one stream's row while its group is stopped:
`eddycast state forget` and `state rename`.

The change and the markers of its partitions are written in one transaction, and the group's offsets
stay, so a service that starts later finds rows and markers that agree. The group must have no
members: this is checked before anything is read, and again just before the commit. A service that
joins after that restores up to an end offset behind these records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eddycast.service.broker.port import Admin, Broker
from eddycast.service.bundle import Manifest
from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.errors import StateError
from eddycast.service.formats.json_observation import check_key
from eddycast.service.migration.describe import unknown_stream
from eddycast.service.migration.export import agreeing, no_changelog
from eddycast.service.migration.placement import home_of
from eddycast.service.migration.snapshot import snapshots
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import MARKER_KEY, Marker, RowCodec
from eddycast.service.state.own_tensors import row_specs

#: Changelog records by partition: key and value, None = tombstone.
Edits = Mapping[int, Sequence[tuple[bytes, bytes | None]]]


@dataclass(frozen=True, slots=True)
class Renamed:
    """Partitions of a row before and after it was renamed."""

    before: int
    after: int


def forget_stream(broker: Broker, settings: Settings, manifest: Manifest, stream: str) -> list[int]:
    """Remove a stream and return the partitions in which it had a row.

    Raises StateError, TopicMissing, BrokerError.
    """
    editor = _Editor(broker, settings, manifest)
    held = editor.partitions_of(stream)
    editor.write(
        {partition: [(stream.encode(), None)] for partition in held}, dict.fromkeys(held, -1)
    )
    return held


def rename_stream(
    broker: Broker,
    settings: Settings,
    manifest: Manifest,
    old: str,
    new: str,
    partitioner: str | None = None,
) -> Renamed:
    """Give the row of `old` to `new`, in the partition into which producers put `new`.

    `partitioner` is that of the producers, if it cannot be inferred from the rows. Raises
    StateError, TopicMissing, BrokerError.
    """
    editor = _Editor(broker, settings, manifest)
    try:
        check_key(new.encode())
    except Unreadable as why:
        raise StateError(
            f"{new!r} cannot name a stream: {why.reason}", "choose another name"
        ) from why
    held = editor.partitions_of(old)
    if len(held) > 1:
        where = " and ".join(map(str, held))
        raise StateError(
            f"{old!r} has rows in partitions {where}, so renaming is ambiguous", "forget it instead"
        )
    if new.encode() in editor.streams:
        raise StateError(
            f"{new!r} has a row already", f"to discard that row: eddycast state forget {new}"
        )
    before, after = (
        held[0],
        home_of(new.encode(), editor.streams, editor.partition, editor.partitions, partitioner),
    )
    if before != after:
        editor.check_alike(before, after)
    changes: dict[int, list[tuple[bytes, bytes | None]]] = {before: [(old.encode(), None)]}
    changes.setdefault(after, []).append((new.encode(), editor.row(before, old)))
    editor.write(changes, {before: 0} if before == after else {before: -1, after: 1})
    return Renamed(before, after)


class _Editor:
    """The changelog of a group without members, as of its last commits."""

    def __init__(self, broker: Broker, settings: Settings, manifest: Manifest) -> None:
        self._broker, self._settings = broker, settings
        self._codec = RowCodec(row_specs(manifest, settings.time))
        name, group, topic = settings.changelog, settings.kafka.group, settings.topics.input
        with broker.admin() as admin, broker.reader(name) as reader:
            self._refuse_members(admin)
            count = admin.partitions(name)
            if count is None:
                raise no_changelog(name)
            self.partitions = count
            before = admin.group_offsets(group, topic)
            patience_s = settings.waits.transactions_s
            self._found = {
                one.partition: one for one in snapshots(reader, name, range(count), patience_s)
            }
            markers = {p: one.marker(self._codec) for p, one in self._found.items()}
            self._markers: dict[int, Marker] = {
                p: marker for p, marker in markers.items() if marker is not None
            }
            agreeing(
                admin,
                group,
                topic,
                before,
                {p: marker.next_offset for p, marker in self._markers.items()},
            )
        counts = [len(one.streams) for one in self._found.values()]
        #: All streams that have a row, and their partitions [n].
        self.streams = [stream for one in self._found.values() for stream in one.streams]
        self.partition = np.repeat(np.array(list(self._found), np.int64), counts)

    def partitions_of(self, stream: str) -> list[int]:
        """Return the partitions in which a stream has a row;
        raises StateError if there are none."""
        held = [
            partition for partition, one in self._found.items() if stream.encode() in one.streams
        ]
        if not held:
            raise unknown_stream(self._settings.changelog, stream, self.streams, self.partitions)
        return held

    def row(self, partition: int, stream: str) -> bytes:
        """Return a stream's row in the bundle's layout, with its own generation.
        Raises StateError."""
        rows = self._found[partition].one(stream.encode(), self._codec)
        return self._codec.encode(rows.prefix, rows.tensors, int(rows.generations[0]))[0]

    def check_alike(self, before: int, after: int) -> None:
        """Raise StateError unless two partitions were last served under the same generation."""
        generations = [
            self._markers[partition].generation
            for partition in (before, after)
            if partition in self._markers
        ]
        if len(set(generations)) > 1:
            what = (
                f"partitions {before} and {after} were last served "
                f"under different generations: {generations}"
            )
            raise StateError(what, "let the service commit in both partitions first")

    def write(self, changes: Edits, more: Mapping[int, int]) -> None:
        """Commit `changes`; `more` is the change in the number of streams by partition.

        Raises StateError, BrokerError.
        """
        for partition in changes:
            if partition not in self._markers:
                what = f"partition {partition} of {self._settings.topics.input} was never committed"
                raise StateError(what, "let the service process a record of it first")
        within_s, name = self._settings.waits.commit_s, self._settings.changelog
        transactional_id = (
            f"{self._settings.commit.transactional_prefix}-{self._settings.kafka.group}-edit"
        )
        with self._broker.producer(transactional_id) as producer:
            producer.begin()
            for partition, records in changes.items():
                marker = self._markers[partition]
                marker = replace(marker, streams=marker.streams + more[partition])
                written = [*records, (MARKER_KEY, self._codec.encode_marker(marker))]
                is_new = not self._found[partition].describes(self._codec)
                if marker.generation is not None and is_new:
                    written.insert(0, self._codec.layout_record())
                producer.produce(
                    name, partition, [key for key, _ in written], [value for _, value in written]
                )
            producer.flush(within_s)
            self._check_no_members()
            producer.commit(within_s)

    def _check_no_members(self) -> None:
        with self._broker.admin() as admin:
            self._refuse_members(admin)

    def _refuse_members(self, admin: Admin) -> None:
        group = self._settings.kafka.group
        if members := admin.members(group):
            what = f"the group {group} has {members} member{'s' if members > 1 else ''}"
            raise StateError(
                what,
                "stop its services first, because they hold the row in memory; nothing was changed",
            )
