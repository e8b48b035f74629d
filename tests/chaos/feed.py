"""The input of a chaos run: sensors that never stop, drawn from a seed,
with everything that real ones do.

A minute of their time takes a tenth of a second, and is sent in parts, so that a fault rarely finds
a worker with nothing to do. On a machine that is too busy for that the sensors wait while the
workers are far behind, or each recovery would take longer than the one before. Each record holds
its stamp, also one that cannot be read, so that what differs at the end can be traced to the moment
at which it was sent.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.errors import EddycastError
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.shapes import PLAIN, Shape
from tests.support.bundles import START_MS

MINUTE_MS = 60_000
TICK_S, PARTS = 0.02, 5
#: The sensors wait while the workers are so many minutes behind; they look every so many.
LEAD, LOOK = 60, 10
WAIT_S = 0.2
#: Probabilities that a reading is missing, null, sent twice, stamped ten minutes ago, or cut off.
GAP, NULL, TWICE, LATE, TORN = 0.04, 0.02, 0.02, 0.01, 0.01
#: A stream falls silent with this chance a minute, for so many minutes:
#: longer than `max_gap` and than a time to live.
SILENCE, SILENT_MINUTES = 0.002, 40

Reading = tuple[int, bytes, bytes]  # partition, key, value


def minutes(seed: int, partitions: int, streams: int) -> Iterator[list[Reading]]:
    """Endless readings of the sensors, minute by minute."""
    draw = random.Random(seed)
    levels = [10.0 * stream for stream in range(streams)]
    silent_until = [0] * streams
    minute = 0
    while True:
        readings: list[Reading] = []
        for stream in range(streams):
            levels[stream] += draw.gauss(0, 1)
            if draw.random() < SILENCE:
                silent_until[stream] = minute + SILENT_MINUTES
            if minute >= silent_until[stream] and draw.random() >= GAP:
                readings += _said(
                    draw, stream, partitions, START_MS + minute * MINUTE_MS, levels[stream]
                )
        draw.shuffle(readings)
        yield readings
        minute += 1


def _said(
    draw: random.Random, stream: int, partitions: int, stamp: int, level: float
) -> list[Reading]:
    """The records of one stream in one minute."""
    chance = draw.random()
    text = "null" if chance < NULL else repr(level)
    stamp += draw.randrange(-9_000, 9_000)
    if NULL < chance < NULL + LATE:
        stamp -= 10 * MINUTE_MS
    value = b'{"timestamp":%d,"value":%b}' % (stamp, text.encode())
    if chance > 1 - TORN:
        value = value[:-1]
    reading = (stream % partitions, b"stream-%d" % stream, value)
    return [reading] * (2 if draw.random() < TWICE else 1)


class Feed:
    """Sends the minutes from its own thread. What a broker's failure loses or repeats,
    it does for every reader."""

    def __init__(
        self,
        servers: str,
        topic: str,
        seed: int,
        partitions: int,
        streams: int,
        shape: Shape = PLAIN,
        behind: Callable[[], int] = lambda: 0,
    ) -> None:
        """`behind` returns the number of records that were sent and are not committed yet; it is
        called by the thread of the feed."""
        self._behind = behind
        self._producer = KafkaBroker(KafkaSettings(bootstrap_servers=servers)).producer()
        self._topic, self._shape = topic, shape
        self._minutes = minutes(seed, partitions, streams)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._raised: Exception | None = None
        #: `time.monotonic()` at which each minute was sent.
        self.sent: list[float] = []
        self.records = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when everything that was sent is acknowledged. Raises what ended the thread."""
        self._stop.set()
        self._thread.join(30)
        self._producer.close(5.0)
        if self._raised is not None:
            raise self._raised

    def sent_at(self, stamp: int) -> float:
        """Time at which the minute of this stamp was sent; 0 if it never was."""
        minute = round((stamp - START_MS) / MINUTE_MS)
        return self.sent[minute] if 0 <= minute < len(self.sent) else 0.0

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if len(self.sent) % LOOK == 0:
                    self._await_workers()
                readings = next(self._minutes)
                self.sent.append(time.monotonic())
                for part in range(PARTS):
                    self._send(readings[part::PARTS])
                    self._stop.wait(TICK_S)
        except Exception as error:  # noqa: BLE001 - raised by `stop`, in the driver's own thread
            self._raised = error

    def _await_workers(self) -> None:
        """Return once no more than LEAD minutes are not committed."""
        while self._behind() * len(self.sent) > LEAD * self.records and not self._stop.is_set():
            self._stop.wait(WAIT_S)

    def _send(self, readings: list[Reading]) -> None:
        try:
            for partition in sorted({reading[0] for reading in readings}):
                here = self._shape.gathered([r[1:] for r in readings if r[0] == partition])
                self.records += len(here)
                self._producer.produce(
                    self._topic, partition, [key for key, _ in here], [value for _, value in here]
                )
            self._producer.flush(10.0)
        except EddycastError:
            self._stop.wait(TICK_S)  # the broker is away: these are gone, or come late
