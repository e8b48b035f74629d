"""One object per partition that this process holds, and the table of them.

    ASSIGNED ───> RESTORING ───> SERVING ───> CLOSED
     ^   ^ ^          │ │         ^ │
     │   │ └──────────┘ v         │ │
     │   └────────── ADOPTING ────┘ │
     └──────────────────────────────┘

    ASSIGNED    the committed offset is being looked up:
                there is none while an open transaction holds it
    RESTORING   rows are read from the changelog, up to the high watermark fixed after that lookup
    ADOPTING    the rows are back but were another model's:
                the change of model is committed before anything is served
    SERVING     records of the partition are processed
    CLOSED      the partition was revoked or lost; final, and reachable from every phase

The arrows back to ASSIGNED are a restart: the rows in memory may differ from those of the last
commit, so they are restored again. Failures are counted across restarts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from eddycast.service.broker.port import Reader
from eddycast.service.delivery.start_positions import StartPosition
from eddycast.service.state.changelog import Marker
from eddycast.service.state.model_record import Recorded
from eddycast.service.state.partition_rows import PartitionRows


class Phase(Enum):
    """Phase in the life of a partition, drawn at the top of this file."""

    ASSIGNED = "assigned"
    RESTORING = "restoring"
    ADOPTING = "adopting"
    SERVING = "serving"
    CLOSED = "closed"


_NEXT = {
    Phase.ASSIGNED: {Phase.RESTORING, Phase.CLOSED},
    Phase.RESTORING: {Phase.ADOPTING, Phase.SERVING, Phase.ASSIGNED, Phase.CLOSED},
    Phase.ADOPTING: {Phase.SERVING, Phase.ASSIGNED, Phase.CLOSED},
    Phase.SERVING: {Phase.ASSIGNED, Phase.CLOSED},
    Phase.CLOSED: set[Phase](),
}
_UNKNOWN = StartPosition(0)


@dataclass(slots=True)
class Restoration:
    """Progress and outcome of reading one partition's changelog."""

    committed: int | None  # the group's next offset of the input
    end: int  # first offset of the changelog that is not read
    records: int = 0  # applied so far
    streams: int = 0  # found, once it is complete
    marker: Marker | None = None
    recorded: Recorded = field(default_factory=Recorded)


@dataclass(slots=True)
class Partition:
    """Everything known of one partition of the input while it is held here."""

    number: int
    assigned_at: float = 0.0  # monotonic, s; of the latest restart if there was one
    phase: Phase = Phase.ASSIGNED
    #: Known from RESTORING on.
    restoration: Restoration | None = None
    #: First offset of the input to read, known from RESTORING on.
    start: StartPosition = _UNKNOWN
    #: Stream time, model and uncommitted changes of the rows, from ADOPTING or SERVING on.
    rows: PartitionRows | None = None
    #: Next offset of the input as of the last commit; None before that and before SERVING.
    committed: int | None = None
    #: Next offset after what was processed since the last commit; None if nothing was.
    done: int | None = None
    #: Consecutive failures of a commit that starts at the offset `failed_at`.
    failures: int = 0
    failed_at: int | None = None
    #: Offsets of records that become dead letters without being decoded.
    quarantined: set[int] = field(default_factory=set)

    @property
    def position(self) -> int:
        """Next offset of the input after everything processed so far."""
        if self.done is not None:
            return self.done
        return self.start.offset if self.committed is None else self.committed

    def begin_restore(self, restoration: Restoration, start: StartPosition) -> None:
        """ASSIGNED -> RESTORING."""
        self._enter(Phase.RESTORING)
        self.restoration, self.start = restoration, start

    def adopt(self) -> None:
        """RESTORING -> ADOPTING. The change of model is part of the next commit."""
        self._enter(Phase.ADOPTING)
        self.done = self.start.offset

    def serve(self) -> None:
        """RESTORING or ADOPTING -> SERVING, from the start position on."""
        self._enter(Phase.SERVING)
        self.committed, self.done = self.start.offset, None

    def commit(self, offset: int) -> None:
        """Everything before `offset` is durable."""
        self.committed, self.done = offset, None

    def restart(self, now: float) -> None:
        """Back to ASSIGNED from any later phase; failures and quarantined records stay known."""
        self._enter(Phase.ASSIGNED)
        self.assigned_at = now
        self._clear()

    def close(self) -> None:
        """Any phase -> CLOSED."""
        self._enter(Phase.CLOSED)
        self._clear()
        self.clear_failures()
        self.quarantined = set()

    def count_failure(self) -> int:
        """Count a failed commit; returns how many in a row started at the same offset."""
        where = self.committed or 0
        self.failures = self.failures + 1 if where == self.failed_at else 1
        self.failed_at = where
        return self.failures

    def clear_failures(self) -> None:
        """Start counting failures anew."""
        self.failures, self.failed_at = 0, None

    def _clear(self) -> None:
        self.restoration = self.rows = self.committed = self.done = None
        self.start = _UNKNOWN

    def _enter(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise ValueError(
                f"partition {self.number}: {self.phase.value} cannot become {phase.value}"
            )
        self.phase = phase


class Closable(Protocol):
    """Memory of a partition's rows; implemented by `Store`."""

    def close(self, partition: int) -> None:
        """Free the rows of a partition and whatever is kept about them."""


class Partitions:
    """The partitions held by this process, by number. Used by the polling thread alone."""

    def __init__(self, rows: Closable, changelog: Reader) -> None:
        self._rows, self._changelog = rows, changelog
        self._held: dict[int, Partition] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._held.values())

    def __getitem__(self, number: int) -> Partition:
        return self._held[number]

    def assign(self, numbers: Collection[int], now: float) -> None:
        """Hold these partitions from now on; one that was held already starts over."""
        self.close(numbers)
        self._held |= {number: Partition(number, now) for number in numbers}

    def restart(self, numbers: Collection[int], now: float) -> None:
        """Restore these partitions again from the changelog.
        One that is still ASSIGNED stays as it is."""
        for partition in [self._held[number] for number in numbers]:
            if partition.phase is not Phase.ASSIGNED:
                partition.restart(now)
                self._release(partition)

    def close(self, numbers: Collection[int]) -> None:
        """Drop everything known of these partitions and free their rows.
        Numbers not held are ignored."""
        for partition in [self._held.pop(number) for number in numbers if number in self._held]:
            partition.close()
            self._release(partition)

    def in_phase(self, *phases: Phase) -> list[Partition]:
        """Partitions that are in one of these phases, in order of assignment."""
        return [partition for partition in self if partition.phase in phases]

    def is_serving(self, number: int) -> bool:
        """True if records of this partition are processed here."""
        partition = self._held.get(number)
        return partition is not None and partition.phase is Phase.SERVING

    @property
    def serving(self) -> list[int]:
        """Numbers of the partitions that are served."""
        return [partition.number for partition in self.in_phase(Phase.SERVING)]

    @property
    def pending(self) -> list[int]:
        """Numbers of the partitions whose rows are not all back, ascending."""
        return sorted(
            partition.number for partition in self.in_phase(Phase.ASSIGNED, Phase.RESTORING)
        )

    @property
    def committed(self) -> dict[int, int]:
        """Next offset of each served partition as of the last commit."""
        return {
            p.number: p.committed
            for p in self
            if p.phase is Phase.SERVING and p.committed is not None
        }

    @property
    def has_uncommitted(self) -> bool:
        """True if something is waiting to be committed."""
        return any(partition.done is not None for partition in self)

    @property
    def uncommitted(self) -> dict[int, int]:
        """Next offset of each partition in which something is waiting to be committed."""
        return {
            partition.number: partition.done for partition in self if partition.done is not None
        }

    def _release(self, partition: Partition) -> None:
        self._rows.close(partition.number)
        self._changelog.stop([partition.number])
