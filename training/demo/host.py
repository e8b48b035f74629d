"""Hosts of the demo's service: this process with the broker in memory,
or processes of their own over Kafka."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.error import URLError
from urllib.request import urlopen

import polars as pl

from eddycast.service.app import Service
from eddycast.service.broker.memory.broker import MemoryBroker
from eddycast.service.broker.port import Broker, Consumer
from eddycast.service.commands.simulate import feed
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.errors import EddycastError
from eddycast.service.history import History
from eddycast.service.history.merging import merge
from eddycast.service.settings.bundle import BundleSettings
from eddycast.service.settings.http import HttpSettings
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.topics import TopicSettings
from eddycast.training.demo.output_reader import PassiveListener

#: Time limits for a service to become ready, and to stop.
START_S, STOP_S = 60.0, 12.0


class Host(Protocol):
    """A running service, which must be closed."""

    url: str  # base URL of its metrics

    def consumer(self) -> Consumer:
        """A consumer of the output topic, from its start."""

    def feed(self, history: History, speed: float) -> Callable[[], bool]:
        """Start to send readings, `speed` times as fast as they were taken (0 = at once). The
        returned function is True while sending goes on, and raises EddycastError if the service or
        the sender has failed."""

    def close(self) -> None:
        """Stop everything that this host started."""


def start_host(kafka: str | None, bundle: Path, port: int, folder: Path) -> Host:
    """Start a service with `bundle` and wait until it is ready;
    logs and files of its processes go to `folder`."""
    host = InProcess(bundle, port) if kafka is None else OverKafka(kafka, bundle, port, folder)
    try:
        host.wait_until_ready()
    except BaseException:
        host.close()
        raise
    return host


class InProcess:
    """The service as a thread, its broker in memory:
    no Java, and no network but the metrics port."""

    def __init__(self, bundle: Path, port: int) -> None:
        topics = TopicSettings(create_input=True)
        self._settings = Settings(
            bundle=BundleSettings(directory=bundle), http=HttpSettings(port=port), topics=topics
        )
        self._broker: Broker = MemoryBroker()
        self._service = Service(self._settings, self._broker)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._threads = [self._start("service", self._serve)]
        self.url = ""

    def wait_until_ready(self) -> None:
        """Raises the service's exception if it ended instead."""
        while not self._service.health.ready_answer()[0]:
            self._check()
            time.sleep(0.02)
        self.url = self._service.url or ""

    def consumer(self) -> Consumer:
        """See `Host`."""
        return self._broker.consumer(self._settings.topics.output, "demo", PassiveListener())

    def feed(self, history: History, speed: float) -> Callable[[], bool]:
        """See `Host`."""
        thread = self._start("sensors", lambda: self._send(history, speed))
        self._threads.append(thread)

        def going() -> bool:
            self._check()
            return thread.is_alive()

        return going

    def close(self) -> None:
        """See `Host`."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error

    def _serve(self) -> None:
        self._service.run(self._stop)

    def _send(self, history: History, speed: float) -> None:
        topic = self._settings.topics.input
        feed(self._broker, self._settings, topic, merge(history), speed, self._stop)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class OverKafka:
    """`eddycast serve` and `eddycast simulate` as processes, over a running Kafka."""

    def __init__(self, servers: str, bundle: Path, port: int, folder: Path) -> None:
        """Raises BrokerUnavailable if `servers` do not answer.
        The topics are new ones, and are left behind."""
        self._servers, self._folder = servers, folder
        self._broker = kafka_broker(KafkaSettings(bootstrap_servers=servers))
        self._broker.admin().close()
        self.name = f"eddycast-demo-{secrets.token_hex(3)}"
        kinds = ("input", "output", "dead_letters")
        self.topics = TopicSettings(**{kind: f"{self.name}-{kind}" for kind in kinds})
        port = port or _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        flags = {f"topics.{kind}": getattr(self.topics, kind) for kind in kinds}
        flags |= {
            "kafka.bootstrap_servers": servers,
            "kafka.group": self.name,
            "topics.create_input": "true",
        }
        flags |= {"http.port": str(port), "bundle.directory": str(bundle), "log.format": "json"}
        self._serve = self._run("serve", *(f"--{name}={value}" for name, value in flags.items()))

    def wait_until_ready(self) -> None:
        """Raises EddycastError if the service ends or takes more than a minute."""
        deadline = time.monotonic() + START_S
        while not self._ready():
            self._check(self._serve)
            if time.monotonic() > deadline:
                raise EddycastError(
                    f"the service was not ready within {START_S:g} s",
                    f"see {self._folder}/serve.log",
                )
            time.sleep(0.2)

    def consumer(self) -> Consumer:
        """See `Host`."""
        return self._broker.consumer(self.topics.output, f"{self.name}-reader", PassiveListener())

    def feed(self, history: History, speed: float) -> Callable[[], bool]:
        """See `Host`."""
        data = self._folder / "readings.parquet"
        write_long(history, data)
        arguments = (f"--topic={self.topics.input}", f"--kafka={self._servers}", f"--speed={speed}")
        process = self._run("simulate", str(data), *arguments)

        def going() -> bool:
            self._check(self._serve)
            if process.poll():
                self._check(process)
            return process.poll() is None

        return going

    def close(self) -> None:
        """See `Host`."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _run(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{command}.log").open("wb") as log:
            line = [sys.executable, "-m", "eddycast.service", command, *arguments]
            process = subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own program
        self._processes.append(process)
        return process

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/ready", timeout=1.0) as answer:  # noqa: S310 - our own loopback address
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _check(self, process: subprocess.Popen[bytes]) -> None:
        if (code := process.poll()) is not None:
            command = process.args[3] if isinstance(process.args, list) else "process"
            log = self._folder / f"{command}.log"
            raise EddycastError(
                f"`eddycast {command}` ended with exit code {code}", f"its log is {log}"
            )


def write_long(history: History, path: Path) -> None:
    """Write a history as a long Parquet file: stream, timestamp (ms), value."""
    readings = merge(history)
    names = pl.Series("stream", readings.streams)
    frame = pl.DataFrame(
        {
            "stream": names.gather(readings.stream),
            "timestamp": readings.timestamps,
            "value": readings.values[:, 0],
        }
    )
    frame.write_parquet(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
