"""The processes of the stack, in groups that start one after the other."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.server import free_ports
from deploy.stack import commands
from deploy.stack.process import HOST, Program, answers, logged, never
from deploy.stack.watching import Installed, Watching


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of everything that listens."""

    kafka: int
    monitor: int
    prometheus: int
    alertmanager: int
    services: tuple[int, ...]

    @classmethod
    def chosen(
        cls, kafka: int, monitor: int, prometheus: int, metrics: int, alertmanager: int = 0
    ) -> Ports:
        """Return the given ports, free ones in place of 0. Services follow on from `metrics`."""
        given = kafka, monitor, prometheus, alertmanager
        free = free_ports(len(given) + commands.SERVICES)
        count = range(commands.SERVICES)
        services = tuple(metrics + i if metrics else free.pop() for i in count)
        kafka, monitor, prometheus, alertmanager = (port or free.pop() for port in given)
        return cls(kafka, monitor, prometheus, alertmanager, services)


@dataclass(frozen=True, slots=True)
class Layout:
    """Ports and files of one run; `installed` are the programs that can watch the stack."""

    ports: Ports
    bundle: Path
    folder: Path
    installed: Installed

    @property
    def servers(self) -> str:
        """Address of Kafka."""
        return f"{HOST}:{self.ports.kafka}"

    def groups(self, train: bool) -> list[list[Program]]:
        """Return all programs; each group needs those before it."""
        first = [self._kafka(), *([self._trainer()] if train else [])]
        services = [self._service(i) for i in range(commands.SERVICES)]
        return [first, services, [self._simulator(), self._monitor(), *self._watching().programs()]]

    def summary(self) -> list[str]:
        """Return lines for people: where to look."""
        metrics = "  ".join(f"http://{HOST}:{port}/metrics" for port in self.ports.services)
        return [
            f"open          http://{HOST}:{self.ports.monitor}",
            f"metrics       {metrics}",
            f"kafka         {self.servers}",
            f"bundle        {self.bundle}",
            *self._watching().summary(),
            "Ctrl-C stops everything and removes its data.",
        ]

    def _kafka(self) -> Program:
        command = [sys.executable, "-m", "deploy.kafka", "--port", str(self.ports.kafka)]
        ready = logged("Kafka is ready")
        return Program("kafka", command, ready, self.servers, within_s=math.inf)

    def _trainer(self) -> Program:
        command = [*commands.program(commands.TRAIN), "--out", str(self.bundle)]
        return Program("trainer", command, never, ends=True, within_s=math.inf)

    def _service(self, index: int) -> Program:
        port = self.ports.services[index]
        url = f"http://{HOST}:{port}"
        return Program(
            f"service-{index + 1}",
            commands.program(commands.SERVE),
            answers(f"{url}/ready"),
            f"{url}/metrics",
            commands.settings(self.servers, self.bundle, HTTP__PORT=str(port)),
        )

    def _simulator(self) -> Program:
        return Program(
            "simulator",
            commands.program(commands.SIMULATE),
            logged("sending"),
            variables=commands.settings(self.servers, self.bundle),
            ends=True,
        )

    def _monitor(self) -> Program:
        url = f"http://{HOST}:{self.ports.monitor}"
        return Program(
            "monitor",
            commands.program(commands.MONITOR),
            answers(f"{url}/health"),
            url,
            commands.settings(
                self.servers,
                self.bundle,
                MONITOR__PORT=str(self.ports.monitor),
                MONITOR__SERVICES=",".join(f"{HOST}:{port}" for port in self.ports.services),
            ),
        )

    def _watching(self) -> Watching:
        """Return what watches the services and the monitor."""
        jobs = {"eddycast": self.ports.services, "eddycast-monitor": (self.ports.monitor,)}
        ports = self.ports.prometheus, self.ports.alertmanager
        return Watching(self.installed, *ports, jobs, self.folder)
