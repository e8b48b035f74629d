"""A Kafka cluster on loopback ports, for as long as a `with` block lasts."""

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
#: Compiles quickly rather than well: starts in two thirds of the time, which is most of what a short test needs.
HURRIED = ("-XX:TieredStopAtLevel=1",)


class KafkaServer:
    """`nodes` Kafka processes, each broker and controller, data in a temporary directory.

    `port` is the first node's (free ports otherwise); `config` adds or overrides lines of `server.properties` and may
    use its fields in braces, `each` does the same for one node after the other; `jvm` are options of the virtual
    machine: `HURRIED` for a short life; `formatting` are words for Kafka's storage tool. Usable as a context manager.
    Nothing survives it, nor the process that made it.
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
            raise ValueError("a cluster has at least one node")
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
        """HOST:PORT of every broker, comma-separated, as clients want it."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports[: self._count])

    @property
    def controller_port(self) -> int:
        """Where the first node's controller listens, which is not for clients."""
        return self._ports[self._count]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Fetch the jars if needed, format the storage and start every node; returns when all are ready.

        Raises KafkaServerError, naming the log and quoting its end; nothing is left running then.
        """
        java = shutil.which("java")
        if java is None:
            raise KafkaServerError("Java 17 or later is needed to run Apache Kafka: install it (for example a JRE)")
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
                tool = [*base, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
                formats.append([*tool, *self._formatting])
                self._nodes.append(Node([*base, "kafka.Kafka", str(properties)], log))
            with ThreadPoolExecutor(self._count) as pool:
                list(pool.map(_format, formats, self.log_files()))
            self.restart()
        except BaseException:
            self._kill_all()
            raise

    def stop(self) -> None:
        """End every node and remove the data, which is why nobody needs to close it first."""
        directory = self._directory
        self._kill_all()
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def kill(self, node: int = 0) -> None:
        """SIGKILL one node. Its port and data stay its own: `restart` brings it back."""
        self._nodes[node].kill()

    def pause(self, node: int = 0) -> contextlib.AbstractContextManager[None]:
        """A `with` block during which one node is frozen (SIGSTOP): it holds its connections and answers nothing."""
        return self._nodes[node].frozen()

    def restart(self) -> None:
        """Start every node that is not running, on its old port and data; returns when all are ready."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        down = [node for node in self._nodes if not node.running]
        for node in down:
            node.start()
        for node in down:
            node.await_ready(deadline)

    def ways_in(self) -> list[str]:
        """Lines for people: how else it is reached."""
        return []

    def log_files(self) -> list[Path]:
        """Where each node writes."""
        return [node.log for node in self._nodes]

    def _write_properties(self, index: int) -> Path:
        """Fill in `server.properties` for one node."""
        if self._directory is None:
            raise KafkaServerError("the cluster has not been started")
        controllers = self._ports[self._count :]
        voters = ",".join(f"{number + 1}@127.0.0.1:{port}" for number, port in enumerate(controllers))
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
        """Leave no process; the directory stays, because the error names the log in it."""
        for node in self._nodes:
            node.kill()
        self._nodes.clear()
        self._directory = None


def _format(command: list[str], log: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise KafkaServerError(f"cannot format Kafka's storage, see {log}:\n{log.read_text()[-2000:]}")


def free_ports(count: int, within: range = range(20_000, 32_000)) -> list[int]:
    """Ports nobody listens on, below the range that outgoing connections use: a restart finds them free again."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(within)  # noqa: S311 - spread, not secrecy
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports
