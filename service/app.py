"""Builds a service from its settings, runs it and shuts it down.

metrics port -> bundle -> broker -> topics -> schema registry -> pipeline, until a signal
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector

from eddycast.service.broker.port import Broker
from eddycast.service.bundle import MANIFEST, Manifest
from eddycast.service.delivery.connect import kafka_broker, reach, warn_of_risks
from eddycast.service.delivery.crash_points import (
    CrashPoint,
    freeze_this_process,
    kill_this_process,
    pause,
)
from eddycast.service.delivery.schema_registry import SchemaRegistry, reach_schemas
from eddycast.service.delivery.topic_checks import Topology, look_at_topics, prepare_topics
from eddycast.service.errors import BrokerError, BrokerUnavailable
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import HealthServer
from eddycast.service.observability.log import configure_log, get_log, log_everything
from eddycast.service.observability.metric_kinds import METRIC_PREFIX
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.throttle import WAITING_S, Throttle
from eddycast.service.pipeline import Pipeline
from eddycast.service.processing.encoding import ForecastEncoder, encoder_for
from eddycast.service.processing.grid_check import check_time
from eddycast.service.registry.following import Follower
from eddycast.service.registry.starting import Started, start_with_champion
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.state import StateSettings
from eddycast.service.signals import StopSignals
from eddycast.service.state.changelog import row_bytes
from eddycast.service.state.room import fitting_streams, memory_limit

#: Interval of the checks while waiting for a bundle, s.
LOOK_EVERY_S = 0.5
#: Interval between two attempts to check the topics, s.
AGAIN_S = 2.0
#: Exit code of a shutdown that did not finish.
CUT_SHORT = 70


def run(settings: Settings, runtime: Runtime | None = None) -> None:
    """Serve until SIGTERM or ctrl-C, then commit and leave the group. Raises EddycastError for
    problems that an operator can solve. `runtime` as in `Service`.

    A second signal, or a shutdown that takes longer than `shutdown_timeout_s`,
    ends the process at once.
    """
    configure_log(settings.log.format, settings.log.level)
    log_everything()
    service = Service(settings, runtime=runtime)
    with StopSignals(service.cut_short, settings.shutdown_timeout_s) as signals:
        service.run(signals.stop)


class _Bundle(NamedTuple):
    """A model that comes from no registry."""

    runtime: Runtime


class Service:
    """One service. `metrics` and `health` may be read from other threads; `run` belongs to one."""

    def __init__(
        self, settings: Settings, broker: Broker | None = None, runtime: Runtime | None = None
    ) -> None:
        """`broker` replaces Kafka, for a service inside another program; `runtime` the model that
        the settings name. Connects to nothing yet."""
        self._settings = settings
        self._broker, self._runtime = broker, runtime
        self._schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
        self.metrics = Metrics(CollectorRegistry())
        ProcessCollector(registry=self.metrics.registry)
        self.health = Health(stalled_after_s=settings.kafka.max_poll_interval_ms / 1000)
        self.metrics.ready.set_function(lambda: float(self.health.ready_answer()[0]))
        #: URL of the metrics while it runs.
        self.url: str | None = None
        self._repeats = settings.commit.delivery == "at_least_once"

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises AddressInUse, BundleError, TopicMissing,
        and every BrokerError that a retry does not cure.
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
        """End the process now; log what was not finished."""
        get_log().error("cut short", why=why, consequence=self._unfinished())
        sys.stderr.flush()
        os._exit(CUT_SHORT)

    def _serve(self, stop: threading.Event) -> None:
        if self._broker is None:
            warn_of_risks(self._settings.kafka)
        loaded = self._load(stop)
        settings = self._settings
        broker = self._broker or kafka_broker(settings.kafka, settings.output.compression)
        if (
            loaded is None
            or (
                topology := self._prepare(
                    broker, stop, row_bytes(loaded.runtime.manifest, settings.time)
                )
            )
            is None
            or not reach_schemas(partial(self._encoder_for, loaded.runtime), stop, self._waiting)
        ):
            return
        runtime, manifest = loaded.runtime, loaded.runtime.manifest
        get_log().info(
            "serving",
            model=manifest.label,
            topic=self._settings.topics.input,
            partitions=topology.partitions,
            group=self._settings.kafka.group,
            delivery=self._settings.commit.delivery,
        )
        faults, memory = self._settings.faults, memory_limit()
        rows = StateSettings(max_streams=self._fitting(manifest, memory))
        settings = settings.model_copy(update={"state": rows})
        kill = freeze_this_process if faults.freeze else kill_this_process
        fault = partial(pause, faults.pause_s) if faults.pause_s else kill
        reached = CrashPoint(faults.kill_at, faults.kill_after, fault)
        with calm_collector(), self._follower(loaded, broker, memory) as follower:
            served = runtime, settings, topology, self.metrics, self.health, reached, follower
            Pipeline(broker, *served, self._schemas).run(stop)
        self._leave(broker)
        get_log().info(
            "stopped",
            records=self._count("records_total"),
            forecasts=self._count("forecasts_total"),
        )

    def _leave(self, broker: Broker) -> None:
        """Remove a static member from the group if the settings say so;
        by default it keeps its partitions for a restart."""
        kafka = self._settings.kafka
        if kafka.instance_id is None or not kafka.leave:
            return
        try:
            broker.leave(kafka.group)
        except BrokerError as error:
            get_log().warning(
                "the group was not left: partitions wait for the session to end", reason=error.what
            )
        else:
            get_log().info("left the group", instance_id=kafka.instance_id)

    def _fitting(self, manifest: Manifest, memory_bytes: int) -> int:
        """The number of a model's rows that this process may hold."""
        most = self._settings.state.max_streams
        return most or fitting_streams(row_bytes(manifest, self._settings.time), memory_bytes)

    def _follower(
        self, loaded: Started | _Bundle, broker: Broker, memory_bytes: int
    ) -> AbstractContextManager[Follower | None]:
        """A follower of newer champions, for a model that comes from a registry."""
        if not isinstance(loaded, Started):
            return nullcontext()

        def accept(runtime: Runtime) -> int:
            manifest, settings = runtime.manifest, self._settings
            self._encoder_for(runtime)
            check_time(manifest, settings.time)
            with broker.admin() as admin:
                for finding in look_at_topics(
                    admin, settings, row_bytes(manifest, self._settings.time)
                ):
                    if finding.error is not None:
                        finding.raised()
            return self._fitting(manifest, memory_bytes)

        return Follower(loaded, accept, self.metrics, self._settings.registry.poll_s)

    def _encoder_for(self, runtime: Runtime) -> ForecastEncoder:
        """The encoder of a model, whose schema is then registered. Raises as `encoder_for`."""
        return encoder_for(runtime, self._settings.output, self._schemas)

    def _load(self, stop: threading.Event) -> Started | _Bundle | None:
        """The model to serve, once there is one; None if stopped before."""
        if self._runtime is not None:
            return _Bundle(self._runtime)
        if self._settings.registry.url is not None:
            return start_with_champion(self._settings, stop, self._waiting)
        runtime = self._load_bundle(stop)
        return None if runtime is None else _Bundle(runtime)

    def _load_bundle(self, stop: threading.Event) -> Runtime | None:
        """The runtime, once its bundle exists; None if stopped before."""
        bundle, engine = self._settings.bundle, self._settings.engine
        patience, throttle = time.monotonic() + bundle.wait_s, Throttle(WAITING_S)
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
        """Facts about the topics, once the broker answers and all exist; None if stopped before."""
        while (admin := reach(broker, stop, self._waiting)) is not None:
            with admin:
                try:
                    return prepare_topics(admin, self._settings, row_bytes)
                except BrokerUnavailable as error:
                    get_log().warning("waiting for the broker", reason=str(error))
            stop.wait(AGAIN_S)
        return None

    def _waiting(self, what: str) -> None:
        """Report as alive but not ready."""
        self.health.beat()
        self.health.wait_for(what)

    def _unfinished(self) -> str:
        records, acknowledged = self._count("records_total"), self._count("forecasts_total")
        return (
            f"{records} records were taken and {acknowledged} forecasts acknowledged; records "
            "since the last commit are read again"
            + (", and their forecasts may repeat" if self._repeats else "")
        )

    def _count(self, name: str) -> int:
        return int(self.metrics.registry.get_sample_value(METRIC_PREFIX + name) or 0)


@contextmanager
def calm_collector() -> Iterator[None]:
    """Run the garbage collector less often, and never on objects created so far. A turn creates
    tens of thousands of short-lived objects and no cycles; with the default threshold of 700
    collecting takes a tenth of the time. Afterwards all is as before: what a process that goes on
    leaves frozen would never be freed."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
