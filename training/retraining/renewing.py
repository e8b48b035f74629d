"""The retraining of a backtest: what a nightly job would have published, day after day."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration
from eddycast.service.humanize import many
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.renewal import Renewal
from eddycast.training.recipe import Recipe
from eddycast.training.retraining.options import resolved
from eddycast.training.train import refit_bundle


class Renewing:
    """Trains models of a bundle's family, season and outputs, and counts the time that it takes."""

    def __init__(self, manifest: Manifest, every_ms: int) -> None:
        self._recipe, self._every_ms = resolved(Recipe(), manifest), every_ms
        self._interval_ms = manifest.interval_ms
        self._times, self._seconds = 0, 0.0

    @property
    def renewal(self) -> Renewal:
        """The plan for a backtest."""
        return Renewal(max(1, self._every_ms // self._interval_ms), self._train)

    def remark(self) -> str:
        """The number of trainings and their mean duration, by the clock."""
        each = self._seconds / max(self._times, 1)
        every = format_duration(self._every_ms)
        return f"renewed every {every}: {many(self._times, 'training')} of {each:.1f} s"

    def facts(self) -> dict[str, float]:
        """The same for programs."""
        return {
            "every_ms": self._every_ms,
            "trainings": self._times,
            "seconds": round(self._seconds, 3),
        }

    def _train(self, panel: Panel) -> Runtime:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="eddycast-renewal-") as folder:
            out = Path(folder) / "bundle"
            refit_bundle(panel, self._recipe, Split.parse(None, len(panel)), out)
            runtime = load_runtime(out)
        self._times, self._seconds = self._times + 1, self._seconds + time.monotonic() - began
        return runtime
