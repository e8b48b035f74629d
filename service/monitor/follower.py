"""Reads a topic from some records back and follows it, outside any consumer group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from eddycast.service.broker.port import Admin, Broker, Reader
from eddycast.service.delivery.connect import reach
from eddycast.service.errors import (
    BrokerUnavailable,
    NotAuthorized,
    OffsetGone,
    SchemaRegistryUnavailable,
)
from eddycast.service.monitor.clock import now_ms
from eddycast.service.observability.log import get_log
from eddycast.service.records import PartitionBatch

#: Records of one poll.
_RECORDS = 5_000
#: Timeout of a poll, interval of looking up the ends of the topic, pause after an outage, s.
_POLL_S, _ENDS_EVERY_S, _AGAIN_S = 0.25, 2.0, 1.0


@dataclass(slots=True)
class Progress:
    """Positions reached in the topic. Written by the follower."""

    positions: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    caught_up: bool = False  # the end that the topic had when reading began has been reached
    #: Every record that the topic held at this time by the wall clock has been read, ms; 0 = never.
    read_until_ms: int = 0
    trouble: str = "starting"  # what is being waited for, "" = nothing

    @property
    def lag(self) -> int:
        """Offsets still to be read."""
        return sum(max(0, end - self.positions.get(p, end)) for p, end in self.ends.items())


class _Goal(NamedTuple):
    """Ends of the partitions that were looked up at a time by the wall clock, ms."""

    asked_ms: int
    ends: dict[int, int]


class Follower:
    """Hands the records of a topic on until it is stopped."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        take: Callable[[list[PartitionBatch]], None],
        read_back: int,
        partitions_every_s: float = 60.0,
    ) -> None:
        """`take` is called with what each poll brings. `partitions_every_s` is the interval of
        looking for new partitions."""
        self._broker, self._topic, self._take = broker, topic, take
        self._read_back = read_back
        self._partitions_every_s = partitions_every_s
        self.progress = Progress()
        self._goal = _Goal(0, {})

    def run(self, stop: threading.Event, once: bool = False) -> None:
        """Follow until `stop`, or only until caught up; outages are waited out, also one of the
        schema registry. Raises AccessRefused, BrokerError, and what `take` raises otherwise."""
        while not (stop.is_set() or (once and self.progress.caught_up)):
            try:
                if not (partitions := self._partitions(stop)):
                    return
                with self._broker.reader(self._topic) as reader:
                    self._start(reader, partitions)
                    self._follow(reader, stop, once)
            except (BrokerUnavailable, OffsetGone, SchemaRegistryUnavailable) as error:
                get_log().warning("reading the topic again", topic=self._topic, reason=str(error))
                self.progress.trouble = error.what
                stop.wait(_AGAIN_S)

    def _partitions(self, stop: threading.Event) -> range:
        """The partitions of the topic once it exists; empty if stopped before."""
        said = False
        while (admin := reach(self._broker, stop, self._wait_for)) is not None:
            with admin:
                self._check_right(admin)
                count = admin.partitions(self._topic)
            if count:
                return range(count)
            self._wait_for(f"the topic {self._topic}")
            if not said:
                get_log().info("waiting for the topic", topic=self._topic)
                said = True
            stop.wait(_AGAIN_S)
        return range(0)

    def _check_right(self, admin: Admin) -> None:
        """Raise NotAuthorized if the user may not read the topic, which would look missing."""
        operations = admin.operations(self._topic)
        if operations is not None and "read" not in operations:
            raise NotAuthorized(
                f"the user may not read the topic {self._topic}", "grant it Read on that topic"
            )

    def _wait_for(self, what: str) -> None:
        self.progress.trouble = what

    def _start(self, reader: Reader, partitions: range) -> None:
        """Start where reading stopped, at the first record that is still there, or `read_back`
        offsets before the end of a partition that is new."""
        progress = self.progress
        first, goal = reader.first(partitions), self._ends(reader, partitions)
        for partition in partitions:
            at, end = progress.positions.get(partition, -1), goal.ends[partition]
            if not 0 <= at <= end:
                at = end - self._read_back
            progress.positions[partition] = max(first[partition], at)
        reader.start(progress.positions)
        self._goal = goal
        progress.trouble = ""

    def _ends(self, reader: Reader, partitions: Collection[int]) -> _Goal:
        """Look up the ends of partitions."""
        asked_ms = now_ms()
        self.progress.ends = reader.end(partitions)
        return _Goal(asked_ms, self.progress.ends)

    def _follow(self, reader: Reader, stop: threading.Event, once: bool) -> None:
        """Read until `stop`, or until the topic has further partitions; see `run`."""
        counted = looked = time.monotonic()
        progress = self.progress
        while not (stop.is_set() or (once and progress.caught_up)):
            if batches := reader.poll(_POLL_S, _RECORDS):
                self._take(batches)
            for partition in progress.positions:
                progress.positions[partition] = reader.position(partition)
            is_reached = self._look_whether_goal_is_reached()
            if time.monotonic() - looked > _ENDS_EVERY_S:
                latest, looked = self._ends(reader, list(progress.positions)), time.monotonic()
                self._goal = latest if is_reached else self._goal
            if time.monotonic() - counted > self._partitions_every_s:
                if self._has_grown():
                    return
                counted = time.monotonic()

    def _has_grown(self) -> bool:
        with self._broker.admin() as admin:
            return (admin.partitions(self._topic) or 0) > len(self.progress.positions)

    def _look_whether_goal_is_reached(self) -> bool:
        progress, goal = self.progress, self._goal
        if any(progress.positions[partition] < end for partition, end in goal.ends.items()):
            return False
        progress.read_until_ms = goal.asked_ms
        if not progress.caught_up:
            progress.caught_up = True
            get_log().info("caught up", topic=self._topic)
        return True
