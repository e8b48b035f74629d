"""Prometheus and Alertmanager, where they are installed, with the rules of deploy/prometheus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.process import HOST, Program, answers

#: Rules and routes, as compose has them.
FILES = Path(__file__).parents[1] / "prometheus"


@dataclass(frozen=True, slots=True)
class Installed:
    """Paths of the programs; None = not installed."""

    prometheus: str | None = None
    alertmanager: str | None = None

    @classmethod
    def found(cls) -> Installed:
        """Look for them; Debian's name of the second has a prefix."""
        debian = shutil.which("prometheus-alertmanager")
        return cls(shutil.which("prometheus"), debian or shutil.which("alertmanager"))


@dataclass(frozen=True, slots=True)
class Watching:
    """The programs that watch, their ports, and what they watch: ports by job."""

    installed: Installed
    prometheus_port: int
    alertmanager_port: int
    jobs: Mapping[str, Sequence[int]]
    folder: Path
    every_s: int = 5

    def programs(self) -> list[Program]:
        """Those that are installed."""
        return [*self._prometheus(), *self._alertmanager()]

    def summary(self) -> list[str]:
        """Return lines for people: where they are, or how to install them."""
        ports = {"prometheus": self.prometheus_port, "alertmanager": self.alertmanager_port}
        packages = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
        return [
            f"{name:<14}http://{HOST}:{port}"
            if getattr(self.installed, name)
            else f"{name:<14}not installed (apt install {packages[name]})"
            for name, port in ports.items()
        ]

    def configuration(self) -> dict[str, object]:
        """Return the configuration of Prometheus."""
        managers = [f"{HOST}:{self.alertmanager_port}"] if self.installed.alertmanager else []
        interval = f"{self.every_s}s"
        return {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": [str(FILES / name) for name in ("recording.yml", "alerts.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": managers}]}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{HOST}:{p}" for p in ports]}]}
                for job, ports in self.jobs.items()
            ],
        }

    def _prometheus(self) -> list[Program]:
        if self.installed.prometheus is None:
            return []
        address, config = f"{HOST}:{self.prometheus_port}", self.folder / "prometheus.yml"
        config.write_text(json.dumps(self.configuration(), indent=1))  # YAML, too
        command = [
            self.installed.prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address={address}",
        ]
        url = f"http://{address}"
        return [Program("prometheus", command, answers(f"{url}/-/ready"), url)]

    def _alertmanager(self) -> list[Program]:
        if self.installed.alertmanager is None:
            return []
        address = f"{HOST}:{self.alertmanager_port}"
        command = [
            self.installed.alertmanager,
            f"--config.file={FILES / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",  # alone
        ]
        url = f"http://{address}"
        return [Program("alertmanager", command, answers(f"{url}/-/ready"), url)]
