"""`feed stdin`: records as lines of text into the input topic, each at least once.

What is not written waits in the pipe, so the program that writes to it waits too. The lines of the
log name the last line that is durable.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from threading import Event

from eddycast.service.bridges.feed_metrics import FeedMetrics
from eddycast.service.bridges.messages import MessageMapper, add_letters, add_readings
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.patient_writer import PatientWriter
from eddycast.service.bridges.rates import Rates
from eddycast.service.bridges.target import Target, reached
from eddycast.service.broker.port import Broker
from eddycast.service.errors import DataError
from eddycast.service.formats.record_lines import record_of
from eddycast.service.observability.log import get_log
from eddycast.service.settings.settings import Settings

#: Bytes of one read, and the maximum of a line.
_READ_BYTES, _LINE_BYTES = 1 << 18, 4 << 20
#: Timeout of a read, s.
_READ_S = 0.25
_TOPIC = "stdin"


class Lines:
    """Lines of a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._rest = descriptor, b""
        self.is_at_end = False

    def read(self, timeout_s: float) -> list[bytes]:
        """Wait up to `timeout_s` for text, and return the lines that are complete. Raises DataError
        for a line that is too long."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        found = os.read(self._descriptor, _READ_BYTES)
        self.is_at_end = not found
        *lines, self._rest = (self._rest + found).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            raise DataError(
                f"a line has more than {_LINE_BYTES} bytes", "write one record in each line"
            )
        if self.is_at_end and self._rest:
            lines.append(self._rest)
        return lines


class LineFeed:
    """Feeds lines to the input topic."""

    def __init__(
        self,
        lines: Lines,
        broker: Broker,
        settings: Settings,
        mapper: MessageMapper,
        at: Callable[[str], None],
        metrics: FeedMetrics | None = None,
    ) -> None:
        self._lines, self._broker, self._settings = lines, broker, settings
        self._mapper = mapper
        self._writer = PatientWriter(broker, settings, at)
        self._rates = Rates(_TOPIC, settings.feed.rates_s, metrics)
        self._line = 0  # lines that are durable

    def run(self, stop: Event) -> None:
        """Feed until the end or `stop`. Outages are waited out.
        Raises DataError, TopicMissing, AccessRefused, BrokerError."""
        target = reached(self._broker, self._settings, stop)
        if target is None:
            return
        try:
            while not stop.is_set() and not self._lines.is_at_end:
                lines = self._lines.read(_READ_S)
                if lines and not self._write(lines, target, stop):
                    break
                if self._rates.is_due:
                    self._rates.show(line=self._line)
        finally:
            self._writer.close()
        self._rates.end(line=self._line)

    def _write(self, lines: Sequence[bytes], target: Target, stop: Event) -> bool:
        """Write lines; False if that did not succeed before the deadline after `stop`."""
        outgoing, filtered, count = Outgoing(target), 0, 0
        now = time.time_ns() // 1_000_000
        for line in lines:
            if text := line.strip(b"\r"):
                filtered += self._map(text, now, outgoing)
                count += 1
        if not self._writer.write(outgoing, stop, time.sleep):
            get_log().warning("stopped before the last lines were written", line=self._line)
            return False
        self._line += len(lines)
        self._rates.written(count, filtered, outgoing)
        return True

    def _map(self, line: bytes, now: int, outgoing: Outgoing) -> int:
        found = record_of(line, _TOPIC, now)
        record = self._mapper.record(
            found.topic, found.key, found.value, list(found.headers), found.time
        )
        outcomes = self._mapper.read(record)
        add_letters(record, outcomes, outgoing)
        return add_readings(record, outcomes, outgoing)
