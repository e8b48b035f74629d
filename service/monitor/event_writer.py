"""Writes events to a topic, each once.

At start the topic is read: what is there is not written again, although the records that it
followed from are read back. An event that is written and not acknowledged may come twice.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Collection, Sequence

from eddycast.service.broker.port import Broker, Producer
from eddycast.service.delivery.connect import reach
from eddycast.service.delivery.topic_checks import create_topic
from eddycast.service.errors import BrokerError, RecordTooLarge, TopicMissing
from eddycast.service.monitor.anomalies import Alarm
from eddycast.service.monitor.board import Board
from eddycast.service.monitor.clock import now_ms
from eddycast.service.monitor.event_backlog import Backlog
from eddycast.service.monitor.event_records import Event, Known, anomaly
from eddycast.service.monitor.follower import Follower, Progress
from eddycast.service.monitor.silence_watch import SilenceWatch
from eddycast.service.observability.log import get_log
from eddycast.service.settings.topics import TopicSettings

#: Interval of looking for silent streams, s, and the part of the time that it takes at most,
#: because the follower waits meanwhile.
_EVERY_S, _PART = 2.0, 0.05
#: Time-out of an acknowledgement, s.
_FLUSH_S = 10.0
#: Most anomalies that wait while the topic cannot be written to: about 20 MB.
_WAITING = 50_000
#: Events are kept for at least this long where the monitor creates the topic, ms.
_RETENTION_MS = 30 * 86_400_000
#: More offsets than any topic has.
_ALL = 1 << 62


class EventWriter:
    """Collects anomalies from the follower's thread; looks for silence and writes on its own."""

    def __init__(self, broker: Broker, topic: str, topics: TopicSettings, board: Board) -> None:
        self._broker, self._topic, self._topics, self._board = broker, topic, topics, board
        self._alarms = Backlog(_WAITING)
        self._pending: list[Event] = []
        self._known = Known()
        self._silence = SilenceWatch(board, self._known.silent)
        self._partitions = 0

    def add(self, alarms: Collection[Alarm]) -> None:
        """Take anomalies; called by the follower's thread."""
        self._alarms.add(alarms)

    def read_what_is_written(self, stop: threading.Event) -> None:
        """Create the topic if it is missing, and read it to its end. Raises BrokerError."""
        admin = reach(self._broker, stop, waiting=lambda _what: None)
        if admin is None:
            return
        with admin:
            found = admin.partitions(self._topic)
            if found is None and not self._topics.create:
                raise TopicMissing(
                    f"topic {self._topic} does not exist", "create it, or set topics.create"
                )
            self._partitions = found or create_topic(
                admin, self._topic, 1, self._topics.replication, self._config()
            )
        Follower(self._broker, self._topic, self._known.add, _ALL).run(stop, once=True)

    def _config(self) -> dict[str, str]:
        """Configuration of the topic: a silence is kept until its stream is forgotten."""
        forgotten_ms = self._board.settings.forget_after_s * 1_000
        retention_ms = max(_RETENTION_MS, forgotten_ms)
        return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}

    def run(self, progress: Progress, stop: threading.Event) -> None:
        """Write until `stop`. Outages are waited out; without the right to write the monitor goes
        on."""
        try:
            while not stop.is_set():
                self._run_with_a_producer(progress, stop)
        except BrokerError as error:
            self._alarms = Backlog(0)
            self._pending.clear()
            self._known.anomalies.clear()
            get_log().error(
                "events are not written any more", reason=error.what, action=error.action
            )

    def _run_with_a_producer(self, progress: Progress, stop: threading.Event) -> None:
        """Write until `stop`, or until a failure that a retry may cure. Raises BrokerError."""
        try:
            with self._broker.producer() as producer:
                while not stop.wait(self._turn(producer, progress)):
                    pass
                self._turn(producer, progress)
        except BrokerError as error:
            if not error.retriable:
                raise
            get_log().warning("events are written again", reason=error.what, action=error.action)
            stop.wait(_EVERY_S)

    def _turn(self, producer: Producer, progress: Progress) -> float:
        """Write what has happened; returns the time until the next look, s. Raises BrokerError.

        Nothing is added to pending events before they are acknowledged, so their number is bounded
        by that of the streams and of the anomalies that wait.
        """
        self._write(producer)
        self._add_anomalies(progress)
        began = time.monotonic()
        if until_ms := progress.read_until_ms:
            with self._board.lock:
                self._pending += self._silence.look(until_ms)
        took_s = time.monotonic() - began
        self._write(producer)
        return max(_EVERY_S, took_s / _PART)

    def _add_anomalies(self, progress: Progress) -> None:
        """Add the anomalies that wait and are not on the topic. Those that come once the monitor
        has caught up are new: what the topic holds need not be remembered any longer."""
        is_read_back = progress.caught_up  # set once the anomalies that were read back are added
        alarms, dropped = self._alarms.take()
        if dropped:
            get_log().warning("anomalies were dropped before they were written", count=dropped)
        per_week, known = self._board.settings.alarms_per_week, self._known.anomalies
        self._pending += [
            anomaly(alarm, per_week)
            for alarm in alarms
            if (*alarm.series, alarm.timestamp) not in known
        ]
        if is_read_back:
            known.clear()

    def _write(self, producer: Producer) -> None:
        """Write pending events; they stay pending until they are acknowledged."""
        try:
            self._send(producer, self._pending)
            self._pending.clear()
        except RecordTooLarge:
            self._write_one_by_one(producer)

    def _write_one_by_one(self, producer: Producer) -> None:
        """Write pending events, and drop those that are too large."""
        while self._pending:
            event = self._pending[0]
            try:
                self._send(producer, [event])
            except RecordTooLarge as error:
                get_log().error(
                    "an event is dropped",
                    stream=event.stream,
                    reason=error.what,
                    action="increase max.message.bytes of the topic",
                )
            del self._pending[0]

    def _send(self, producer: Producer, events: Sequence[Event]) -> None:
        """Write events and wait until they are acknowledged. Raises BrokerError."""
        for event in events:
            partition = zlib.crc32(event.key) % self._partitions
            producer.produce(self._topic, partition, [event.key], [event.value(now_ms())])
        if events:
            producer.flush(_FLUSH_S)
