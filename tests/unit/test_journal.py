"""Touch, evict, commit and roll back against a model that copies everything."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eddycast.service.bundle import TensorSpec
from eddycast.service.state.arena import Arena
from eddycast.service.state.journal import Journal
from eddycast.service.state.partition_rows import PartitionRows

SPECS = (TensorSpec(name="value", dtype="float32", shape=(2,)),)
STREAMS = [b"stream-%d" % i for i in range(8)]
Rows = dict[int, dict[bytes, tuple[int, float]]]
partitions = st.integers(0, 1)
some = st.lists(st.sampled_from(STREAMS), min_size=1, max_size=8)


class JournalMachine(RuleBasedStateMachine):
    """An arena with a journal, compared with plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(SPECS, capacity=2)
        self.partitions = defaultdict[int, PartitionRows](PartitionRows)
        self.journal = Journal(self.arena, self.partitions)
        self.now: Rows = {}
        self.committed: Rows = {}
        self.changed: dict[int, set[bytes]] = {}
        self.clock = 0

    @rule(partition=partitions, streams=some)
    def step(self, partition: int, streams: list[bytes]) -> None:
        """Every reading adds one to its row; the stamp is the time of the step."""
        self.clock += 1
        slots = self.arena.slots(partition, streams)
        self.journal.touch(partition, streams, slots)
        for stream, slot in zip(streams, slots.tolist(), strict=True):
            prefix = self.arena.prefix[slot].copy()
            prefix["observations"] += 1
            prefix["last_timestamp"] = self.clock
            self.arena.prefix[slot] = prefix
            at = np.array([slot])
            self.arena.scatter(
                at, {"value": self.arena.gather(at)["value"] + np.float32(self.clock)}
            )
            before = self.now.setdefault(partition, {}).get(stream, (0, 0.0))
            self.now[partition][stream] = (self.clock, before[1] + self.clock)
            self.changed.setdefault(partition, set()).add(stream)

    @rule(partition=partitions, streams=some)
    def fail(self, partition: int, streams: list[bytes]) -> None:
        """A turn fails between zeroing its rows and their first step: everything is rolled back."""
        slots = self.arena.slots(partition, streams)
        self.journal.touch(partition, streams, slots)
        self.arena.zero(slots)
        self.roll_back()

    @rule(partition=partitions, streams=some)
    def run_out_of_memory(self, partition: int, streams: list[bytes]) -> None:
        """Memory runs out while rows are copied."""
        slots, gather = self.arena.slots(partition, streams), self.arena.gather
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                self.arena, "gather", lambda rows: _no_room() if len(rows) else gather(rows)
            )
            with contextlib.suppress(MemoryError):
                self.journal.touch(partition, streams, slots)
        self.roll_back()

    @rule(partition=partitions, age=st.integers(0, 4))
    def evict(self, partition: int, age: int) -> None:
        rows = self.now.get(partition, {})
        old = {stream for stream, (stamp, _) in rows.items() if stamp < self.clock - age}
        assert self.journal.evict(partition, self.clock - age) == len(old)
        for stream in old:
            del rows[stream]
            self.changed.setdefault(partition, set()).add(stream)

    @rule()
    def commit(self) -> None:
        """Written records turn the rows of the last commit into the current ones."""
        for partition in (0, 1):
            streams, slots = self.journal.rows(partition)
            gone = self.journal.gone(partition)
            written = self.changed.get(partition, set())
            assert len(set(streams) | set(gone)) == len(streams) + len(gone)
            assert set(streams) | set(gone) == written
            replayed = dict(self.committed.get(partition, {}))
            replayed |= dict(zip(streams, self._read(slots), strict=True))
            assert {s: row for s, row in replayed.items() if s not in gone} == self.now.get(
                partition, {}
            )
        self.journal.commit()
        self.committed = {p: dict(rows) for p, rows in self.now.items()}
        self.changed = {}

    @rule()
    def roll_back(self) -> None:
        self.journal.roll_back()
        self.now = {p: dict(rows) for p, rows in self.committed.items()}
        self.changed = {}

    @rule(partition=partitions)
    def lose(self, partition: int) -> None:
        self.journal.release(self.partitions.pop(partition, PartitionRows()))
        self.arena.free_partition(partition)
        for rows in (self.now, self.committed, self.changed):
            rows.pop(partition, None)

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        for partition in (0, 1):
            streams = self.arena.streams(partition)
            assert dict(
                zip(streams, self._read(self.arena.slots(partition, streams)), strict=True)
            ) == self.now.get(partition, {})
            assert self.arena.count(partition) == len(streams)

    @invariant()
    def nobody_shares_a_slot_and_rows_of_nobody_are_zero(self) -> None:
        held = [
            slot for p in (0, 1) for slot in self.arena.slots(p, self.arena.streams(p)).tolist()
        ]
        waiting = [
            s
            for c in self.journal._partitions.values()
            for _, slots in c.evicted
            for s in slots.tolist()
        ]
        free = self.arena._free
        assert (
            len({*held, *waiting, *free})
            == len(held) + len(waiting) + len(free)
            == self.arena._unused
        )
        assert not self.arena.prefix["observations"][free].any()
        assert not self.arena.gather(np.array(free, np.int64))["value"].any()

    def _read(self, slots: Any) -> list[tuple[int, float]]:
        values = self.arena.gather(slots)["value"][:, 0].tolist()
        return list(zip(self.arena.prefix["last_timestamp"][slots].tolist(), values, strict=True))


def _no_room() -> NoReturn:
    raise MemoryError


JournalMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestJournal = JournalMachine.TestCase


def test_a_row_is_copied_once_a_transaction() -> None:
    arena = Arena(SPECS)
    journal = Journal(arena, defaultdict(PartitionRows))
    slots = arena.slots(0, STREAMS)
    for _ in range(3):
        journal.touch(0, STREAMS, slots)
    assert [part.streams for part in journal._partitions[0].touched] == [STREAMS]
    journal.commit()
    journal.touch(0, STREAMS[:2], slots[:2])
    assert journal.rows(0)[0] == STREAMS[:2]
