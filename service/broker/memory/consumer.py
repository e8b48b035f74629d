"""Members of consumer groups within one process, with the same order of events as on Kafka.

A partition moves in two steps: its owner's next poll revokes it, and once the listener has
returned, the new owner's next poll takes it. The next poll of an expelled member calls `lost` and
then joins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Condition

from eddycast.service.broker.memory.cluster import Cluster
from eddycast.service.broker.memory.group import MemoryGroup
from eddycast.service.broker.port import Connection, RebalanceListener
from eddycast.service.errors import BrokerError, MembershipLost, OffsetGone
from eddycast.service.records import PartitionBatch


class MemoryConsumer(Connection):
    """A `port.Consumer`."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        group: str,
        listener: RebalanceListener,
        start_at: str,
        changed: Condition,
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._group = group
        self._listener = listener
        self._start_at = start_at
        self._changed = changed
        self._held: set[int] = set()
        self._paused: set[int] = set()
        self._positions: dict[int, int] = {}
        self._first = 0  # rotates the partition that is read first
        self._joined = False
        self._closed = False
        #: Number of this member's joining, as last captured; fences the offsets of a transaction.
        self.membership: int | None = None

    def poll(self, timeout_s: float, max_records: int) -> list[PartitionBatch]:
        """See `port.Consumer`."""
        self._check_open()
        deadline = time.monotonic() + timeout_s
        while True:
            self._rebalance()
            self._capture()
            with self._changed:
                batches = self._fetch(max_records)
                remaining = deadline - time.monotonic()
                if batches or remaining <= 0:
                    return batches
                if not self._must_move():
                    self._changed.wait(remaining)

    def is_member(self) -> bool:
        """See `port.Consumer`."""
        return self.membership is not None

    def confirm(self, timeout_s: float) -> bool:  # noqa: ARG002 - answered at once
        """See `port.Consumer`."""
        with self._changed:
            return self.membership is not None and self._state().joined.get(self) == self.membership

    def silence_s(self) -> float:
        """See `port.Consumer`. Always 0: this broker answers at once."""
        return 0.0

    def assignment(self) -> frozenset[int]:
        """See `port.Consumer`."""
        return frozenset(self._held)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `port.Consumer`."""
        self._check_open()
        with self._changed:
            self.check_owner(offsets)
            self._state().committed.update(offsets)

    def committed(
        self,
        partitions: Collection[int],
        timeout_s: float = 10.0,  # noqa: ARG002 - answered at once
    ) -> dict[int, int | None]:
        """See `port.Consumer`."""
        with self._changed:
            group = self._state()
            held = set().union(*group.pending.values())
            return {p: group.committed.get(p) for p in partitions if p not in held}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """See `port.Consumer`."""
        self._check_held(offsets)
        self._positions.update(offsets)

    def pause(self, partitions: Collection[int]) -> None:
        """See `port.Consumer`."""
        self._check_held(partitions)
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """See `port.Consumer`."""
        self._check_held(partitions)
        self._paused -= set(partitions)

    def positions(self) -> dict[int, int]:
        """See `port.Consumer`."""
        return {p: at for p, at in self._positions.items() if p in self._held}

    def lag(self) -> dict[int, int]:
        """See `port.Consumer`."""
        with self._changed:
            logs = self._cluster.logs(self._topic)
            return {
                p: max(0, logs[p].end - at)
                for p, at in sorted(self._positions.items())
                if p in self._held
            }

    def close(self) -> None:
        """See `port.Consumer`."""
        with self._changed:
            self._closed = True
            self._held.clear()
            self._state().leave(self)
            self._changed.notify_all()

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return self._topic

    @property
    def group(self) -> str:
        """Name of the group."""
        return self._group

    def check_owner(self, offsets: Mapping[int, int]) -> None:
        """Raise MembershipLost unless this member owns these partitions; during `revoked` it still
        does. The caller holds the broker's lock."""
        if self._state().joined.get(self) != self.membership:
            raise MembershipLost(f"expelled from {self._group}")
        owners = self._state().owners
        if foreign := sorted(p for p in offsets if owners.get(p) is not self):
            raise MembershipLost(
                f"partitions {foreign} of {self._topic} belong to another member of {self._group}"
            )

    def _rebalance(self) -> None:
        """Join the group, give up partitions and take over others.
        The listener is called without the lock."""
        with self._changed:
            group = self._state()
            expelled = self._joined and self not in group.members
        if expelled:
            self._drop(set(self._held), self._listener.lost)
        with self._changed:
            if self not in group.members:
                group.join(self)
                self._changed.notify_all()
            self._joined = True
            leaving = self._held - self._target()
        if leaving:
            try:
                self._drop(leaving, self._listener.revoked)
            finally:
                with self._changed:
                    group.owners = {
                        p: o for p, o in group.owners.items() if not (o is self and p in leaving)
                    }
                    self._changed.notify_all()
        with self._changed:
            coming = sorted(p for p in self._target() - self._held if p not in group.owners)
            group.owners.update(dict.fromkeys(coming, self))
            self._held.update(coming)
        if coming:
            self._capture()
            self._listener.assigned(coming)
        self._find_positions()

    def _drop(self, partitions: set[int], notify: Callable[[Collection[int]], None]) -> None:
        self._held -= partitions
        self._paused -= partitions
        for partition in partitions:
            self._positions.pop(partition, None)
        if partitions:
            self._capture()
            notify(sorted(partitions))

    def _find_positions(self) -> None:
        """Start at the committed offset, once it is decided, where the listener did not seek."""
        missing = self._held - self._positions.keys()
        if not missing:
            return
        committed = self.committed(missing)
        with self._changed:
            for partition, offset in committed.items():
                self._positions[partition] = (
                    self._reset(partition, "no offset") if offset is None else offset
                )

    def _reset(self, partition: int, found: str) -> int:
        """Position to read from where there is no valid one.
        Raises OffsetGone if the consumer starts at none."""
        log = self._cluster.logs(self._topic)[partition]
        if self._start_at == "none":
            raise OffsetGone(
                f"{self._topic} partition {partition} holds {log.first} to {log.end}, not {found}"
            )
        return log.stable_end if self._start_at == "latest" else log.first

    def _capture(self) -> None:
        """Remember this member's joining of the group, None if it has left."""
        with self._changed:
            self.membership = self._state().joined.get(self)

    def _fetch(self, max_records: int) -> list[PartitionBatch]:
        logs, batches = self._cluster.logs(self._topic), []
        ready = sorted(self._held & self._positions.keys() - self._paused)
        turn = self._first % len(ready) if ready else 0
        for partition in ready[turn:] + ready[:turn]:
            if max_records == 0:
                break
            log, position = logs[partition], self._positions[partition]
            if not log.first <= position <= log.end:
                position = self._reset(partition, str(position))
            batch, self._positions[partition] = log.fetch(position, max_records)
            if batch is not None:
                batches.append(batch)
                max_records -= len(batch)
        self._first += 1
        return batches

    def _must_move(self) -> bool:
        """True if a waiting poll has to call its listener."""
        group = self._state()
        if self not in group.members:
            return True
        target = self._target()
        return bool(self._held - target) or any(p not in group.owners for p in target - self._held)

    def _target(self) -> set[int]:
        return self._state().targets(len(self._cluster.logs(self._topic))).get(self, set())

    def _state(self) -> MemoryGroup:
        return self._cluster.group(self._topic, self._group)

    def _check_held(self, partitions: Collection[int]) -> None:
        if missing := set(partitions) - self._held:
            raise MembershipLost(
                f"partitions {sorted(missing)} of {self._topic} are not assigned to this member"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerError("the consumer is closed")
