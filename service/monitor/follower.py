"""Reads the forecasts topic from some records back and follows it, outside any consumer group."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from eddycast.service.broker.port import Broker, Reader
from eddycast.service.delivery.connect import reach
from eddycast.service.errors import BrokerUnavailable, OffsetGone
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.decode import Decoder
from eddycast.service.observability.log import get_log

#: Records of one poll; the lock of the board is held for as long as these take.
_RECORDS = 5_000
#: Timeout of a poll, interval of looking up the ends of the topic, pause after an outage, s.
_POLL_S, _ENDS_EVERY_S, _AGAIN_S = 0.25, 2.0, 1.0


@dataclass(slots=True)
class Progress:
    """How far the topic has been read. Written by the follower."""

    positions: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    caught_up: bool = False  # the end that the topic had at start has been reached
    trouble: str = "starting"  # what is being waited for, "" = nothing

    @property
    def lag(self) -> int:
        """Offsets still to be read."""
        return sum(max(0, end - self.positions.get(p, end)) for p, end in self.ends.items())


class Follower:
    """Fills a board from a topic until it is stopped."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        board: Board,
        decoder: Decoder,
        read_back: int,
        partitions_every_s: float = 60.0,
    ) -> None:
        """`partitions_every_s` is the interval of looking for new partitions."""
        self._broker, self._topic, self._board, self._decoder = broker, topic, board, decoder
        self._read_back = read_back
        self._partitions_every_s = partitions_every_s
        self.progress = Progress()
        self._reach: dict[int, int] = {}  # ends at start

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`; outages are waited out. Raises AccessRefused, BrokerError."""
        while not stop.is_set():
            try:
                if not (partitions := self._partitions(stop)):
                    return
                with self._broker.reader(self._topic) as reader:
                    self._start(reader, partitions)
                    self._follow(reader, stop)
            except (BrokerUnavailable, OffsetGone) as error:
                get_log().warning("reading the forecasts again", reason=str(error))
                self.progress.trouble = error.what
                stop.wait(_AGAIN_S)

    def _partitions(self, stop: threading.Event) -> range:
        """The partitions of the topic once it exists; empty if stopped before."""
        said = False
        while (admin := reach(self._broker, stop, self._wait_for)) is not None:
            with admin:
                count = admin.partitions(self._topic)
            if count:
                return range(count)
            self._wait_for(f"the topic {self._topic}")
            if not said:
                get_log().info("waiting for the topic", topic=self._topic)
                said = True
            stop.wait(_AGAIN_S)
        return range(0)

    def _wait_for(self, what: str) -> None:
        self.progress.trouble = what

    def _start(self, reader: Reader, partitions: range) -> None:
        """Start where reading stopped, at the first record that is still there, or `read_back`
        offsets before the end of a partition that is new."""
        progress = self.progress
        first, ends = reader.first(partitions), reader.end(partitions)
        for partition in partitions:
            at = progress.positions.get(partition, -1)
            if not 0 <= at <= ends[partition]:
                at = ends[partition] - self._read_back
            progress.positions[partition] = max(first[partition], at)
        reader.start(progress.positions)
        progress.ends = ends
        self._reach = self._reach or ends
        progress.trouble = ""

    def _follow(self, reader: Reader, stop: threading.Event) -> None:
        """Read until `stop`, or until the topic has further partitions."""
        counted = looked = time.monotonic()
        progress = self.progress
        while not stop.is_set():
            if batches := reader.poll(_POLL_S, _RECORDS):
                decoded = self._decoder.decode(batches)
                with self._board.lock:
                    self._board.add(decoded)
            for partition in progress.positions:
                progress.positions[partition] = reader.position(partition)
            self._look_whether_caught_up()
            if time.monotonic() - looked > _ENDS_EVERY_S:
                progress.ends, looked = reader.end(list(progress.positions)), time.monotonic()
            if time.monotonic() - counted > self._partitions_every_s:
                if self._has_grown():
                    return
                counted = time.monotonic()

    def _has_grown(self) -> bool:
        with self._broker.admin() as admin:
            return (admin.partitions(self._topic) or 0) > len(self.progress.positions)

    def _look_whether_caught_up(self) -> None:
        progress = self.progress
        if not progress.caught_up and all(
            progress.positions[partition] >= end for partition, end in self._reach.items()
        ):
            progress.caught_up = True
            get_log().info("caught up", records=self._board.records, series=len(self._board))
