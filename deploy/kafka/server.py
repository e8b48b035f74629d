"""A Kafka cluster on loopback ports, as a context manager."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.kafka.jars import KafkaServerError, jars
from deploy.kafka.node import Node

__all__ = ["HURRIED", "KafkaServer", "KafkaServerError"]

_HERE = Path(__file__).parent
_START_TIMEOUT_S = 180.0
#: JVM options for short tests: less optimization, so that Kafka starts in two thirds of the time.
HURRIED = ("-XX:TieredStopAtLevel=1",)


class KafkaServer:
    """`nodes` Kafka processes, each both broker and controller, with data in a temporary directory.

    `port` is that of the first node (default: free ports). `config` adds or overrides lines of
    `server.properties` and may use its placeholders in braces; `each` does the same per node. `jvm`
    are options of the JVM, such as `HURRIED`, and `formatting` arguments for Kafka's storage tool.
    Processes and data are removed at the end, also if the parent process dies.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        port: int | None = None,
        heap: str = "512m",
        config: Mapping[str, str] | None = None,
        each: Sequence[Mapping[str, str]] = (),
        jvm: Sequence[str] = (),
        formatting: Sequence[str] = (),
    ) -> None:
        if nodes < 1:
            raise ValueError("a cluster needs at least one node")
        self._count = nodes
        self._jvm = [f"-Xmx{heap}", "-XX:+UseSerialGC", *jvm]
        self._formatting = formatting
        self._config = [{**(config or {}), **own} for own in each or [{}] * nodes]
        self._ports = free_ports(2 * nodes)
        if port is not None:
            self._ports[0] = port
        self._directory: Path | None = None
        self._nodes: list[Node] = []

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT of every broker, comma-separated."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports[: self._count])

    @property
    def controller_port(self) -> int:
        """Port of the first node's controller, which is not for clients."""
        return self._ports[self._count]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Fetch the jars if needed, format the storage,
        start every node and wait until all are ready.

        Raises KafkaServerError with the end of the log; no process is left running then.
        """
        java = shutil.which("java")
        if java is None:
            raise KafkaServerError(
                "Java 17 or later is needed to run Apache Kafka: install it (for example a JRE)"
            )
        libraries = jars()
        self._directory = Path(tempfile.mkdtemp(prefix="eddycast-kafka-"))
        cluster = uuid.uuid4().hex[:22]
        logging = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}"
        base = [java, *self._jvm, logging, "-cp", f"{libraries}/*"]
        formats = []
        try:
            for index in range(self._count):
                properties = self._write_properties(index)
                log = self._directory / f"node-{index + 1}.log"
                tool = [
                    *base,
                    "kafka.tools.StorageTool",
                    "format",
                    "-t",
                    cluster,
                    "-c",
                    str(properties),
                ]
                formats.append([*tool, *self._formatting])
                self._nodes.append(Node([*base, "kafka.Kafka", str(properties)], log))
            with ThreadPoolExecutor(self._count) as pool:
                list(pool.map(_format, formats, self.log_files()))
            self.restart()
        except BaseException:
            self._kill_all()
            raise

    def stop(self) -> None:
        """Kill every node and remove the data."""
        directory = self._directory
        self._kill_all()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def kill(self, node: int = 0) -> None:
        """Kill one node with SIGKILL; `restart` brings it back with the same port and data."""
        self._nodes[node].kill()

    def pause(self, node: int = 0) -> contextlib.AbstractContextManager[None]:
        """Context in which one node is frozen (SIGSTOP):
        it keeps its connections but does not respond."""
        return self._nodes[node].frozen()

    def restart(self) -> None:
        """Start every node that is not running, with its old port and data,
        and wait until all are ready."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        down = [node for node in self._nodes if not node.running]
        for node in down:
            node.start()
        for node in down:
            node.await_ready(deadline)

    def check(self) -> None:
        """Raise KafkaServerError with the end of its log if a node has ended by itself."""
        for node in self._nodes:
            node.check()

    def details(self) -> list[str]:
        """Return lines for people about further listeners and users."""
        return []

    def log_files(self) -> list[Path]:
        """Return the log file of each node."""
        return [node.log for node in self._nodes]

    def _write_properties(self, index: int) -> Path:
        """Write `server.properties` of one node and return its path."""
        if self._directory is None:
            raise KafkaServerError("the cluster has not been started")
        controllers = self._ports[self._count :]
        voters = ",".join(
            f"{number + 1}@127.0.0.1:{port}" for number, port in enumerate(controllers)
        )
        own = "".join(f"{key}={value}\n" for key, value in self._config[index].items())
        text = (_HERE / "server.properties").read_text() + own
        for name, value in {
            "node": index + 1,
            "voters": voters,
            "port": self._ports[index],
            "controller_port": controllers[index],
            "data": self._directory / f"data-{index + 1}",
            "replicas": min(3, self._count),
        }.items():
            text = text.replace(f"{{{name}}}", str(value))
        path = self._directory / f"node-{index + 1}.properties"
        path.write_text(text)
        return path

    def _kill_all(self) -> None:
        """Kill every node; the directory stays, because errors refer to the log in it."""
        for node in self._nodes:
            node.kill()
        self._nodes.clear()
        self._directory = None


def _format(command: list[str], log: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise KafkaServerError(
            f"cannot format Kafka's storage, see {log}:\n{log.read_text()[-2000:]}"
        )


def free_ports(count: int, within: range = range(20_000, 32_000)) -> list[int]:
    """Return unused ports below the range of outgoing connections,
    so that they are still free at a restart."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(within)  # noqa: S311 - spread, not secrecy
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports
