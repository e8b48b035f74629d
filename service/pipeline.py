"""The way of a record, readable aloud:

    poll -> decode -> align -> waves -> gather -> step -> scatter -> forecast -> encode -> produce -> commit

align to forecast are the engine's; this file does the rest in whole columns, and is the only one that measures.
One thread does everything. The broker calls back inside `poll` only, so a rebalance never meets a turn half done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service.broker.port import Broker
from service.checkpoint import Checkpoint, Output
from service.codec import Decoder, Encoder
from service.engine import Engine, Forecasts
from service.errors import BrokerError, BrokerUnavailable, MembershipLost, ProduceFailed
from service.eviction import Eviction
from service.health import Health
from service.log import get_log
from service.measure import Latencies, Stopwatch, count_dead_letters, count_forecasts
from service.metrics import Metrics
from service.model.runtime import Runtime
from service.outputs import Share, dead, encoded, late_letters, shares
from service.records import DeadLetter, Observations, PartitionBatch, next_offset
from service.state.arena import Arena

#: A trouble is said when it has lasted this long (every rebalance is one, for a moment), and then this often.
_PATIENCE_S, _SAY_S = 2.0, 5.0
_LAG_S = 1.0
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What a pipeline needs of the settings."""

    input_topic: str = "observations"
    output_topic: str = "forecasts"
    dead_letter_topic: str = "dead-letters"
    group: str = "eddycast"
    start_at: str = "earliest"
    max_poll_records: int = 5_000
    poll_timeout_s: float = 0.5
    commit_interval_s: float = 0.1
    far_future_ms: int = 3_600_000
    state_ttl_ms: int = 604_800_000
    max_gap: int | None = None  # None = the bundle's
    forecast_every: int = 1
    late_to_dead_letters: bool = False
    produce_timeout_s: float = 45.0  # outputs not acknowledged are produced again for so long; then the process ends
    handover_timeout_s: float = 5.0  # then a partition goes, whether or not its last outputs were acknowledged
    drain_timeout_s: float = 8.0


class Pipeline:
    """Observations in, forecasts out, until told to stop. It is the consumer's rebalance listener."""

    def __init__(self, broker: Broker, runtime: Runtime, options: Options, metrics: Metrics, health: Health) -> None:
        """Joins the group. Raises BrokerUnavailable, BrokerError."""
        manifest = runtime.manifest
        self._options, self._manifest, self._metrics, self._health = options, manifest, metrics, health
        self._arena = Arena(manifest.state)
        self._engine = Engine(runtime, self._arena, max_gap=options.max_gap, forecast_every=options.forecast_every)
        self._decoder = Decoder(len(manifest.channels), options.far_future_ms)
        self._encoder = Encoder(manifest)
        self._eviction = Eviction(self._arena, options.state_ttl_ms, self._engine.max_gap * manifest.interval_ms)
        self._stage, self._latencies = Stopwatch(), Latencies(metrics)
        self._said = self._lag_shown = 0.0
        self._troubled_since: float | None = None
        self._producer = broker.producer()
        try:
            self._consumer = broker.consumer(options.input_topic, options.group, self, options.start_at)
        except BrokerError:
            self._producer.close(0.0)
            raise
        self._checkpoint = Checkpoint(self._producer, self._consumer, options.commit_interval_s)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; then commit, leave the group and close.

        A broker that does not answer is waited for, and that is said every few seconds. Raises every other
        EddycastError, the group left and nothing more committed.
        """
        try:
            while not stop.is_set():
                try:
                    self.turn()
                except BrokerUnavailable as error:
                    self._health.wait_for("the broker to answer")
                    self._say(error)
                    stop.wait(_PAUSE_S)
            self._drain()
        finally:
            self.close()

    def turn(self) -> int:
        """One poll and all that follows from it; how many records it brought."""
        self._health.beat()
        batches = self._poll()
        if batches:
            polled = time.monotonic()
            observations, letters = self._decode(batches)
            forecasts = self._engine.run(observations, self._stage)
            if self._options.late_to_dead_letters:
                letters += late_letters(batches, observations, forecasts)
            parts = shares(observations, forecasts)
            self._produce(self._encode(parts, forecasts), letters)
            self._record(batches, parts, polled)
            count_forecasts(self._metrics, self._manifest, forecasts)
        records = sum(map(len, batches))
        self._settle(caught_up=records < self._options.max_poll_records)
        self._show(records)
        return records

    def _poll(self) -> list[PartitionBatch]:
        """Wait for records, but no longer than until the next commit."""
        timeout = min(self._options.poll_timeout_s, self._checkpoint.remaining())
        with self._stage("poll"):
            batches = self._consumer.poll(timeout, self._options.max_poll_records)
        self._health.ready()
        return batches

    def _decode(self, batches: Sequence[PartitionBatch]) -> tuple[list[Observations], list[DeadLetter]]:
        with self._stage("decode"):
            decoded = [self._decoder.decode(batch) for batch in batches]
        return [observations for observations, _ in decoded], [letter for _, letters in decoded for letter in letters]

    def _encode(self, parts: Sequence[Share], forecasts: Forecasts) -> list[Output]:
        with self._stage("encode"):
            return [encoded(self._options.output_topic, share, forecasts, self._encoder) for share in parts]

    def _produce(self, outputs: Sequence[Output], letters: Sequence[DeadLetter]) -> None:
        with self._stage("produce"):
            for output in outputs:
                self._checkpoint.produce(output)
            for letter in letters:
                self._checkpoint.produce(dead(self._options.dead_letter_topic, letter))
        count_dead_letters(self._metrics, letters)

    def _record(self, batches: Sequence[PartitionBatch], parts: Sequence[Share], polled: float) -> None:
        """These records are done, once their outputs are acknowledged."""
        for batch in batches:
            self._checkpoint.record(batch.partition, next_offset(batch))
        for share in parts:
            partition, newest = share.batch.partition, int(share.batch.timestamps[share.here].max())
            self._latencies.produced(partition, share.batch.record_times[share.here], polled)
            self._metrics.evicted.inc(self._eviction.advance(partition, newest))

    def _settle(self, caught_up: bool) -> None:
        """Commit when it is time. Until then forecasts are acknowledged at once when there is nothing else to do;
        with more records waiting, the next turn fills the wait."""
        with self._stage("commit"):
            if self._checkpoint.due():
                self._try_commit(self._options.produce_timeout_s)
            elif caught_up:
                self._flush(self._options.produce_timeout_s)

    def _flush(self, within_s: float) -> None:
        self._checkpoint.flush(within_s)
        self._latencies.acknowledged()

    def _commit(self, within_s: float) -> None:
        start = time.monotonic()
        self._flush(within_s)
        if self._checkpoint.commit(within_s):
            self._troubled_since = None
            self._latencies.committed()
            self._metrics.commits.inc()
            self._metrics.commit_seconds.observe(time.monotonic() - start)

    def _try_commit(self, within_s: float) -> None:
        """Commit, or leave it to the next turn: only a poll can tell which partitions are still ours."""
        try:
            self._commit(within_s)
        except (MembershipLost, BrokerUnavailable) as error:
            self._say(error)

    def assigned(self, partitions: Collection[int]) -> None:
        """Streams of these begin here; nothing of an earlier time may be left."""
        self._drop(partitions)
        get_log().info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """The whole commit, inside the callback: only its return lets the next owner begin."""
        try:
            self._commit(self._options.handover_timeout_s)
        except (ProduceFailed, MembershipLost, BrokerUnavailable) as error:
            get_log().warning("handed over without a commit: the last forecasts repeat", reason=error.what)
        self._drop(partitions)
        get_log().info("partitions handed over", partitions=sorted(partitions))

    def lost(self, partitions: Collection[int]) -> None:
        """Another member has them already and begins at the last commit."""
        self._drop(partitions)
        get_log().warning("partitions lost: the forecasts since the last commit repeat", partitions=sorted(partitions))

    def _drop(self, partitions: Collection[int]) -> None:
        self._checkpoint.forget(partitions)
        self._latencies.forget(partitions)
        self._eviction.forget(partitions)
        for partition in partitions:
            self._arena.free_partition(partition)
        self._lag_shown = 0.0  # other partitions, another lag

    def _drain(self) -> None:
        """The last commit. While the group is deciding it is asked again, without taking records.

        Raises BrokerUnavailable or ProduceFailed when there was no commit before the time was over.
        """
        deadline = time.monotonic() + self._options.drain_timeout_s
        while True:
            try:
                return self._commit(max(deadline - time.monotonic(), 0.0))
            except MembershipLost as error:
                return self._say(error)
            except BrokerUnavailable:
                if time.monotonic() >= deadline:
                    raise
            self._let_the_group_decide()

    def _let_the_group_decide(self) -> None:
        """A poll for its callbacks only; what it may still bring is not recorded as done."""
        self._consumer.pause(self._consumer.assignment())
        try:
            self._consumer.poll(0.1, 1)
        except BrokerUnavailable as error:
            self._say(error)
            time.sleep(0.1)

    def close(self) -> None:
        """Leave the group and give up the connections. Nothing is committed."""
        try:
            self._consumer.close()
        except BrokerError as error:
            get_log().warning("the group was not left", reason=error.what)
        finally:
            self._producer.close(1.0)

    def _say(self, error: BrokerError) -> None:
        """Count a trouble that passes, and name it if it does not, though not at every attempt."""
        self._metrics.retries.labels(type(error).__name__).inc()
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        if now - self._troubled_since >= _PATIENCE_S and now - self._said >= _SAY_S:
            self._said = now
            get_log().warning("waiting and trying again", reason=error.what)

    def _show(self, records: int) -> None:
        self._metrics.records.inc(records)
        self._metrics.streams.set(len(self._arena))
        self._metrics.state_bytes.set(self._arena.nbytes)
        self._stage.report(self._metrics)
        if time.monotonic() - self._lag_shown >= _LAG_S:
            self._lag_shown = time.monotonic()
            held = dict.fromkeys(self._consumer.assignment(), 0)
            self._metrics.hold(held | self._consumer.lag())
