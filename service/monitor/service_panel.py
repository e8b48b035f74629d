"""Facts about the service beside its forecasts: its workers, and the changes of its model."""

from __future__ import annotations

import threading
from typing import Any

from eddycast.service.monitor.model_changes import ModelChanges
from eddycast.service.monitor.workers.watch import WorkerWatch
from eddycast.service.settings.settings import Settings

_HINT = (
    "set monitor.services to the metrics ports of the workers, as worker-1:9464,worker-2:9464, and "
    "http.host of the workers to an address that the monitor reaches"
)


class ServicePanel:
    """Workers and changes of the model, as the settings name them."""

    def __init__(self, settings: Settings) -> None:
        given = settings.monitor.service_ports
        self.workers = WorkerWatch(given)
        self.changes = ModelChanges(settings.registry)
        self._hint = "" if given else _HINT

    def start(self, stop: threading.Event) -> None:
        """Watch until `stop`."""
        if not self._hint:
            self.workers.start(stop)
        self.changes.start(stop)

    def view(self) -> dict[str, Any]:
        """The panel as of the last looks; `hint` is how to set it where it is not set."""
        return {"hint": self._hint} | self.workers.view | self.changes.view()
