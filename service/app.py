"""Where a service is put together from its settings, run, and taken apart again.

metrics port -> bundle -> broker -> topics -> pipeline, until a signal
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import uuid
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector

from service.broker.port import Broker
from service.bundle import MANIFEST
from service.delivery.connect import kafka_broker, reach, warn_of_risks
from service.delivery.crash_points import FaultPoint, freeze_this_process, kill_this_process, pause
from service.delivery.options import Options
from service.delivery.topics import Topology, prepare_topics
from service.errors import BrokerError, BrokerUnavailable
from service.model.loading import load_runtime
from service.model.runtime import Runtime
from service.observability.health import Health
from service.observability.http_port import HealthServer
from service.observability.log import configure_log, get_log, log_everything
from service.observability.metrics import METRIC_PREFIX, Metrics
from service.observability.throttle import Throttle
from service.pipeline import Pipeline
from service.settings.settings import Settings
from service.signals import StopSignals
from service.state.changelog import row_bytes
from service.state.room import fitting_streams

#: Kept of `shutdown_timeout_s` for leaving the group and closing: this part of it.
CLOSING = 0.2
#: A start that waits for a bundle looks again this often, and says so this often, s.
LOOK_EVERY_S, SAY_EVERY_S = 0.5, 5.0
#: From one attempt to learn about the topics to the next, s.
AGAIN_S = 2.0
#: Exit code of a shutdown that was cut short.
CUT_SHORT = 70


def run(settings: Settings) -> None:
    """Serve until SIGTERM or ctrl-C, then finish, commit and leave. Raises EddycastError for what a person can mend.

    A second signal, or a shutdown that takes longer than `shutdown_timeout_s`, ends the process at once.
    """
    configure_log(settings.log.format, settings.log.level)
    log_everything()
    service = Service(settings)
    with StopSignals(service.cut_short, settings.shutdown_timeout_s) as signals:
        service.run(signals.stop)


class Service:
    """One service. `metrics` and `health` may be read from other threads; `run` belongs to one."""

    def __init__(self, settings: Settings, broker: Broker | None = None) -> None:
        """`broker` takes the place of real Kafka, for a service inside another program. Connects to nothing yet."""
        self._settings = settings
        self._broker = broker
        self.metrics = Metrics(CollectorRegistry())
        ProcessCollector(registry=self.metrics.registry)
        self.health = Health(stalled_after_s=settings.kafka.max_poll_interval_ms / 1000)
        self.metrics.ready.set_function(lambda: float(self.health.ready_answer()[0]))
        #: Where metrics are served while it runs.
        self.url: str | None = None
        self._repeats = settings.commit.delivery == "at_least_once"

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises AddressInUse, BundleError, TopicMissing, and every BrokerError that trying again does not mend.
        """
        http = self._settings.http
        server = HealthServer(http.host, http.port, self.metrics.registry, self.health)
        self.url = server.url
        get_log().info("metrics are served", url=server.url)
        try:
            self._serve(stop)
        finally:
            self.health.wait_for("stopped")
            server.close()

    def cut_short(self, why: str) -> None:
        """End the process now, and say what that costs."""
        get_log().error("cut short", why=why, consequence=self._unfinished())
        sys.stderr.flush()
        os._exit(CUT_SHORT)

    def _serve(self, stop: threading.Event) -> None:
        if self._broker is None:
            warn_of_risks(self._settings.kafka)
        runtime = self._load(stop)
        broker = self._broker if self._broker is not None else kafka_broker(self._settings.kafka)
        if runtime is None or (topology := self._prepare(broker, stop, row_bytes(runtime.manifest))) is None:
            return
        manifest = runtime.manifest
        self.metrics.model_info.labels(manifest.label, manifest.version[:12], manifest.family).set(1)
        get_log().info(
            "serving",
            model=manifest.label,
            topic=self._settings.topics.input,
            partitions=topology.partitions,
            group=self._settings.kafka.group,
            delivery=self._settings.commit.delivery,
        )
        faults, max_streams = self._settings.faults, self._settings.state.max_streams
        options = replace(
            pipeline_options(self._settings, topology),
            max_streams=max_streams or fitting_streams(row_bytes(manifest)),
        )
        kill = freeze_this_process if faults.freeze else kill_this_process
        fault = partial(pause, faults.pause_s) if faults.pause_s else kill
        passing = FaultPoint(faults.kill_at, faults.kill_after, fault)
        _calm_collector()
        Pipeline(broker, runtime, options, self.metrics, self.health, passing).run(stop)
        self._leave(broker)
        get_log().info("stopped", records=self._count("records_total"), forecasts=self._count("forecasts_total"))

    def _leave(self, broker: Broker) -> None:
        """A static member keeps its partitions for whoever comes back under its name, unless nobody is to."""
        kafka = self._settings.kafka
        if kafka.instance_id is None or not kafka.leave:
            return
        try:
            broker.leave(kafka.group)
        except BrokerError as error:
            get_log().warning("the group was not left: partitions wait for the session to end", reason=error.what)
        else:
            get_log().info("left the group", instance_id=kafka.instance_id)

    def _load(self, stop: threading.Event) -> Runtime | None:
        """The runtime, once its bundle is there; None if stopped before."""
        bundle, engine = self._settings.bundle, self._settings.engine
        patience, throttle = time.monotonic() + bundle.wait_s, Throttle(SAY_EVERY_S)
        while not (bundle.directory / MANIFEST).is_file() and time.monotonic() < patience:
            self._waiting(f"bundle {bundle.directory}")
            if throttle.is_due():
                get_log().info("waiting for the bundle", directory=str(bundle.directory))
            if stop.wait(LOOK_EVERY_S):
                return None
        return load_runtime(
            bundle.directory,
            intra_op_threads=engine.intra_op_threads,
            max_batch=engine.max_batch,
            trust=bundle.trust,
        )

    def _prepare(self, broker: Broker, stop: threading.Event, row_bytes: int) -> Topology | None:
        """What is known of the topics, once the broker answers and all are there; None if stopped before."""
        while (admin := reach(broker, stop, self._waiting)) is not None:
            try:
                return prepare_topics(admin, self._settings, row_bytes)
            except BrokerUnavailable as error:
                get_log().warning("waiting for the broker", reason=str(error))
            finally:
                admin.close()
            stop.wait(AGAIN_S)
        return None

    def _waiting(self, what: str) -> None:
        """Still alive, not yet ready."""
        self.health.beat()
        self.health.wait_for(what)

    def _unfinished(self) -> str:
        records, acknowledged = self._count("records_total"), self._count("forecasts_total")
        return (
            f"{records} records were taken and {acknowledged} forecasts acknowledged; records since the last commit "
            "are read again" + (", and their forecasts may repeat" if self._repeats else "")
        )

    def _count(self, name: str) -> int:
        return int(self.metrics.registry.get_sample_value(METRIC_PREFIX + name) or 0)


def _calm_collector() -> None:
    """A turn makes tens of thousands of short-lived objects and no cycles: looking for some every 700 costs a tenth of
    the service's time. What was made at start is not looked at again."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def pipeline_options(settings: Settings, topology: Topology) -> Options:
    """What the pipeline needs of the settings, in its units."""
    kafka, topics, limits, commit = settings.kafka, settings.topics, settings.time, settings.commit
    instance = kafka.instance_id or uuid.uuid4().hex[:12]
    return Options(
        input_topic=topics.input,
        output_topic=topics.output,
        dead_letter_topic=topics.dead_letters,
        changelog_topic=settings.changelog,
        partitions=topology.partitions,
        group=kafka.group,
        transactional_id=f"{commit.transactional_prefix}-{kafka.group}-{instance}",
        delivery=commit.delivery,
        start_at=kafka.start_at,
        when_deleted=kafka.when_deleted,
        max_poll_records=kafka.max_poll_records,
        commit_interval_s=commit.interval_ms / 1000,
        commit_timeout_s=settings.waits.timeout_ms / 1000,
        handover_timeout_s=settings.waits.handover_ms / 1000,
        drain_timeout_s=settings.shutdown_timeout_s * (1 - CLOSING),
        give_up_s=commit.give_up_s,
        max_steps=commit.max_steps,
        turn_s=settings.waits.turn_ms / 1000,
        session_s=kafka.session_timeout_ms / 1000,
        max_output_bytes=topology.max_output_bytes,
        max_letter_bytes=topology.max_letter_bytes,
        far_future_ms=limits.far_future_s * 1000,
        earliest_ms=limits.earliest_ms,
        state_ttl_ms=limits.state_ttl_s * 1000,
        max_gap=limits.max_gap,
        forecast_every=settings.engine.forecast_every,
        late_to_dead_letters=limits.late_to_dead_letters,
        input=settings.input,
    )
