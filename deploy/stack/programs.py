"""The processes of the stack, in groups that start one after the other."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.server import free_ports
from deploy.stack import commands
from deploy.stack.process import Program, answers, logged, never

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of everything that listens."""

    kafka: int
    monitor: int
    prometheus: int
    services: tuple[int, ...]

    @classmethod
    def chosen(cls, kafka: int, monitor: int, prometheus: int, metrics: int) -> Ports:
        """Return the given ports, free ones in place of 0. Services follow on from `metrics`."""
        free = free_ports(3 + commands.SERVICES)
        count = range(commands.SERVICES)
        services = tuple(metrics + i if metrics else free[3 + i] for i in count)
        return cls(kafka or free[0], monitor or free[1], prometheus or free[2], services)


@dataclass(frozen=True, slots=True)
class Layout:
    """Ports and files of one run; `prometheus` is its program, if any."""

    ports: Ports
    bundle: Path
    folder: Path
    prometheus: str | None

    @property
    def servers(self) -> str:
        """Address of Kafka."""
        return f"{HOST}:{self.ports.kafka}"

    def groups(self, train: bool) -> list[list[Program]]:
        """Return all programs; each group needs those before it."""
        first = [self._kafka(), *([self._trainer()] if train else [])]
        services = [self._service(i) for i in range(commands.SERVICES)]
        return [first, services, [self._simulator(), self._monitor(), *self._prometheus()]]

    def summary(self) -> list[str]:
        """Return lines for people: where to look."""
        metrics = "  ".join(f"http://{HOST}:{port}/metrics" for port in self.ports.services)
        prometheus = (
            f"http://{HOST}:{self.ports.prometheus}"
            if self.prometheus
            else "not installed (apt install prometheus)"
        )
        return [
            f"open        http://{HOST}:{self.ports.monitor}",
            f"metrics     {metrics}",
            f"prometheus  {prometheus}",
            f"kafka       {self.servers}",
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
            commands.settings(self.servers, self.bundle, MONITOR__PORT=str(self.ports.monitor)),
        )

    def _prometheus(self) -> list[Program]:
        """Prometheus, if it is installed."""
        if self.prometheus is None:
            return []
        address = f"{HOST}:{self.ports.prometheus}"
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps(self.scraping(), indent=1))  # YAML, too
        command = [
            self.prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address={address}",
        ]
        url = f"http://{address}"
        return [Program("prometheus", command, answers(f"{url}/-/ready"), url)]

    def scraping(self) -> dict[str, object]:
        """Return the configuration of Prometheus: the services and the monitor as targets."""
        jobs = {"eddycast": self.ports.services, "eddycast-monitor": (self.ports.monitor,)}
        return {
            "global": {"scrape_interval": "5s"},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{HOST}:{p}" for p in ports]}]}
                for job, ports in jobs.items()
            ],
        }
