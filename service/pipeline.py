"""The path of a record, readable aloud:

    poll -> decode -> align -> waves -> gather -> step -> scatter -> forecast -> encode ->
    produce -> commit

poll, produce and commit, the restore of rows, rebalances and switches of models are in `delivery/`,
decode to encode in `processing/`. This file decides when each happens, and which failures are
retried. One thread does everything. The broker runs the rebalance callbacks inside `poll` only, so
a rebalance never interrupts a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from eddycast.service.broker.port import Broker
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.delivery.delivery import Delivery
from eddycast.service.delivery.intake import Intake
from eddycast.service.delivery.pace import Pace
from eddycast.service.delivery.served_model import ServedModel
from eddycast.service.delivery.switching import Switching
from eddycast.service.delivery.topic_checks import Topology
from eddycast.service.errors import (
    AccessRefused,
    BrokerUnavailable,
    BundleError,
    InstanceFenced,
    OffsetGone,
    StateError,
)
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.health import Health
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.turn_metrics import TurnMetrics
from eddycast.service.processing.chunks import Decoded
from eddycast.service.records import PartitionBatch
from eddycast.service.registry.following import Follower
from eddycast.service.settings.settings import Settings
from eddycast.service.state.store import Store

_PAUSE_S = 0.5


class Pipeline:
    """Reads observations and writes forecasts until stopped."""

    #: Longest poll while partitions are served, s.
    poll_s = 0.5

    def __init__(
        self,
        broker: Broker,
        runtime: Runtime,
        settings: Settings,
        topology: Topology,
        metrics: Metrics,
        health: Health,
        reached: CrashPoint | None = None,
        follower: Follower | None = None,
        schemas: Schemas = NO_SCHEMAS,
    ) -> None:
        """Join the group. `reached` is called with the name of each crash point. `follower` loads
        newer models of the registry that `runtime` comes from, if it comes from one. `schemas`
        has the schemas of Avro records, if the settings ask for Avro.
        Raises BrokerUnavailable, BrokerError."""
        self._health, self._max_steps = health, settings.commit.max_steps
        topics, reached = settings.topics, reached or CrashPoint()
        generation = follower.generation if follower else 0
        self._store = Store(runtime.manifest, settings.time, generation)
        self._turn_metrics = turn_metrics = TurnMetrics(metrics, topics.input, topics.dead_letters)
        self._model = ServedModel(
            runtime, self._store, settings, topology.limits, turn_metrics, generation, schemas
        )
        self._delivery = Delivery(
            broker,
            settings,
            topology.partitions,
            self._store,
            self._model,
            turn_metrics,
            reached,
        )
        self._intake = Intake(self._delivery, turn_metrics.stage)
        self._pace = Pace(settings.waits.turn_s)
        self._switching = Switching(
            follower,
            self._delivery,
            self._store,
            self._model,
            metrics,
            settings.waits.commit_s,
            reached,
        )

    def run(self, stop: threading.Event) -> None:
        """Run turns until `stop` is set; then commit, leave the group and close.

        While the broker does not answer it is retried and a warning is logged every few seconds.
        Every other EddycastError is raised, after the group was left, without a last commit.
        """
        self._health.wait_for("a place in the group")
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except BrokerUnavailable as error:
                    self._health.wait_for("the broker to answer")
                    self._delivery.outages.note(error)
                    stop.wait(_PAUSE_S)
            self._delivery.drain()
        finally:
            self.close()

    def turn(self) -> int:
        """One poll and all that follows from it.
        Returns the number of records processed, or polled if that failed."""
        self._health.beat()
        most = min(self._delivery.backoff.limit, self._pace.limit)
        batches = self._poll(most)
        records = sum(map(len, batches))
        self._delivery.restore_slice(beside=bool(batches))
        try:
            self._delivery.commit_adopted()
            records = self._serve(batches, most)
            if not batches:
                self._delivery.readiness.prove()
            self._switching.advance()
        except (StateError, InstanceFenced, AccessRefused):
            raise
        except BundleError as error:
            self._health.wait_for(f"another bundle: {error.what}")
            raise
        except Exception as error:  # noqa: BLE001 - a record may raise anything; `FailureBackoff` ends what recurs
            self._delivery.back_off(error)
        self._turn_metrics.turned(records, self._store.arena, self._model.manifest.warmup_steps)
        self._delivery.assignment.show()
        return records

    def _poll(self, most: int) -> list[PartitionBatch]:
        try:
            batches = self._intake.poll(self.poll_s, most)
        except OffsetGone as error:
            self._delivery.skip_deleted(error)
            return []
        self._delivery.readiness.show(self._health)
        return batches

    def _serve(self, batches: Sequence[PartitionBatch], most: int) -> int:
        """Process chunk by chunk, with a commit whenever one is due. Records left when the turn's
        time is up are read again in the next turn. `most` is the maximum number of records of the
        poll. Returns the number of records processed."""
        delivery, backoff = self._delivery, self._delivery.backoff
        polled, served, fetched = time.monotonic(), 0, sum(map(len, batches))
        backoff.taken(batches)
        self._intake.step_over({batch.partition for batch in batches})
        for chunk in self._chunks(batches):
            self._pace.go_on()
            processed = self._model.run(chunk)
            delivery.produce(processed, polled)
            self._pace.did(processed.cost)
            served += processed.records
            delivery.commit_if_due(backlog=served < fetched)
            if served < fetched and self._pace.is_over:
                delivery.commit_now()
                delivery.assignment.rewind()
                self._pace.end(served, fetched)
                return served
        delivery.commit_if_due(at_once=backoff.cautious)
        if fetched < most:
            delivery.flush()
        self._pace.end(served, fetched)
        return served

    def _chunks(self, batches: Sequence[PartitionBatch]) -> Iterator[list[Decoded]]:
        """The records of a poll in chunks, each to be processed before the next is requested."""
        if batches:
            self._pace.begin()
            yield from self._model.processor.chunks(
                batches, self._delivery.backoff.quarantined, self._max_steps, self._pace.chunk
            )

    def close(self) -> None:
        """Leave the group and close the connections, without a commit."""
        self._turn_metrics.close()
        self._delivery.close()
