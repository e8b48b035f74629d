"""The scene of a fault: a broker, topics, a feed, the workers, and how far their group has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.champions import Champions
from tests.chaos.fleet import Fleet, Stuck
from tests.chaos.proxy import Site
from tests.chaos.shapes import Shape

#: Configuration of the changelog: it is compacted all the time,
#: so that rows are restored from what compaction left.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "3000",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "3000",
}
#: After which it is stuck. A machine that has more to do than it can is slow, and not wrong.
_RECOVERS_S = 120.0
#: Time-outs of the clients that observe, short so that none of them adds to what is measured.
_HASTY = {"request_timeout_ms": 2_000, "reconnect_backoff_max_ms": 200}


def patient(servers: str) -> KafkaBroker:
    """A broker for preparing a run, with long time-outs: on a busy machine it is slow to create a
    topic."""
    return KafkaBroker(
        KafkaSettings(
            bootstrap_servers=servers,
            request_timeout_ms=40_000,
            delivery_timeout_ms=41_000,
            transaction_timeout_ms=42_000,
        )
    )


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics that one group reads and writes."""

    input: str
    group: str

    @property
    def output(self) -> str:
        return f"{self.group}-forecasts"

    @property
    def dead_letters(self) -> str:
        return f"{self.group}-dead-letters"

    @property
    def changelog(self) -> str:
        return f"{self.group}-changelog"

    def create(self, servers: str, partitions: int, replication: int) -> None:
        """Create all topics but the input."""
        admin = patient(servers).admin()
        admin.create_topic(self.output, partitions, replication)
        admin.create_topic(self.dead_letters, partitions, replication)
        admin.create_topic(self.changelog, partitions, replication, _COMPACTED)
        admin.close()

    def settings(self, servers: str, bundle: Path) -> dict[str, str]:
        """Settings of a worker, by the names of their environment variables.
        Rows live for twenty minutes of stream time."""
        return {
            "BUNDLE__DIRECTORY": str(bundle),
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__GROUP": self.group,
            "TOPICS__INPUT": self.input,
            "TOPICS__OUTPUT": self.output,
            "TOPICS__DEAD_LETTERS": self.dead_letters,
            "TOPICS__CHANGELOG": self.changelog,
            "TIME__STATE_TTL_S": "1200",
            "TIME__LATE": "dead_letter",
            "HTTP__PORT": "0",
            "LOG__FORMAT": "json",
        }


class Progress:
    """Progress of a group in its input, as the broker reports it;
    waits while the broker is away."""

    def __init__(self, servers: str, topics: Topics, partitions: int) -> None:
        self._servers, self._group = servers, topics.group
        self._places = [TopicPartition(topics.input, partition) for partition in range(partitions)]
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None

    def close(self) -> None:
        for client in (self._consumer, self._admin):
            if client is not None:
                client.close()
        self._consumer = self._admin = None

    def ends(self) -> dict[int, int]:
        """The end of each partition of the input. Raises Stuck. The client repeats its request to a
        node that does not lead any more, so a client without an answer is replaced."""
        deadline = time.monotonic() + _RECOVERS_S
        while time.monotonic() < deadline:
            try:
                return self._end_offsets()
            except KafkaError:
                self.close()
                time.sleep(0.1)
        raise Stuck("the broker does not answer")

    def committed(self) -> dict[int, int]:
        """The committed offset of each partition; empty if the broker does not answer."""
        found = self._ask(
            lambda admin: admin.list_group_offsets({self._group: self._places})[self._group]
        )
        return {place.partition: offset.offset for place, offset in (found or {}).items()}

    def behind(self) -> int:
        """Number of records of the input that are not committed; 0 without an answer."""
        committed = self.committed()
        try:
            ends = self._end_offsets()
        except KafkaError:
            self.close()
            return 0
        return sum(max(0, end - max(0, committed.get(p, 0))) for p, end in ends.items())

    def await_reached(
        self, ends: Mapping[int, int], fleet: Fleet, stalled_s: float = _RECOVERS_S
    ) -> float:
        """The time (`time.monotonic()`) at which everything before `ends` was committed. Workers
        that fail are noted and replaced. Raises Stuck, naming what is missing, once nothing more
        was committed for `stalled_s`: a busy machine takes longer, and only a worker that is stuck
        stops."""
        moved, left = time.monotonic(), None
        while True:
            now, done = time.monotonic(), self.committed()
            behind = {p: (done.get(p, 0), end) for p, end in ends.items() if done.get(p, 0) < end}
            if not behind:
                return now
            missing = sum(end - offset for offset, end in behind.values())
            if left is None or missing < left:
                moved, left = now, missing
            if now > moved + stalled_s:
                raise Stuck(
                    f"nothing was committed for {stalled_s:g} "
                    f"s; partition: (committed, end) {behind}"
                )
            fleet.look()
            time.sleep(0.03)

    def open_transactions(self) -> list[str]:
        """Transactional ids of the group's workers that have one open now."""
        found = self._ask(lambda admin: admin.list_transactions(state_filters=["Ongoing"]))
        ids = [
            listing.transactional_id for listings in (found or {}).values() for listing in listings
        ]
        return [name for name in ids if f"-{self._group}-" in name]

    def _end_offsets(self) -> dict[int, int]:
        """Raises KafkaError."""
        self._consumer = self._consumer or KafkaConsumer(
            bootstrap_servers=self._servers.split(","),
            group_id=None,
            enable_auto_commit=False,
            **_HASTY,
        )
        found = self._consumer.end_offsets(self._places)
        return {place.partition: offset for place, offset in found.items()}

    def _ask(self, question: Callable[[KafkaAdminClient], Any]) -> Any:
        """The answer; None if there was none. The client looks for a group's coordinator once and
        never again (kafka-python 3.0), so one that got no answer is thrown away."""
        try:
            self._admin = self._admin or KafkaAdminClient(
                bootstrap_servers=self._servers.split(","), **_HASTY
            )
            return question(self._admin)
        except KafkaError:
            if self._admin is not None:
                self._admin.close()
            self._admin = None
            return None


@dataclass
class Scene:
    """Everything a fault may touch."""

    site: Site
    topics: Topics
    fleet: Fleet
    progress: Progress
    champions: Champions
    shape: Shape
