"""The model in service, and all that is replaced with it when a newer one takes over."""

from __future__ import annotations

from eddycast.service.delivery.failing_bundles import BundleFailures
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.log import get_log
from eddycast.service.observability.turn_metrics import TurnMetrics
from eddycast.service.processing.chunks import Decoded
from eddycast.service.processing.grid_check import trained_otherwise
from eddycast.service.processing.outputs import OutputLimits
from eddycast.service.processing.processor import Processed, Processor
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.state import StateSettings
from eddycast.service.state.store import Store


class ServedModel:
    """Used by the polling thread alone. `processor`, `failures` and `manifest` are those of the
    model in service."""

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        settings: Settings,
        limits: OutputLimits,
        turn_metrics: TurnMetrics,
        generation: int,
        schemas: Schemas = NO_SCHEMAS,
    ) -> None:
        """`generation` is the number of the registry's change of which `runtime` is the champion;
        0 without a registry. `schemas` as in `Processor`."""
        self._store, self._settings, self._limits = store, settings, limits
        self._turn_metrics, self._schemas = turn_metrics, schemas
        self.use(runtime, settings.state, generation)

    def use(self, runtime: Runtime, rows: StateSettings, generation: int) -> None:
        """Process records with this model from now on. The store is that of its rows."""
        manifest = self.manifest = runtime.manifest
        settings = self._settings.model_copy(update={"state": rows})
        self.processor = Processor(
            runtime,
            self._store,
            settings,
            self._limits,
            self._turn_metrics.stage,
            self._schemas,
        )
        if (found := trained_otherwise(manifest, settings.time)) is not None:
            get_log().warning(found[0], action=found[1])
        self.failures = BundleFailures(manifest.label)
        training = manifest.training
        metrics = self._turn_metrics.metrics
        metrics.show_model(
            manifest.label,
            manifest.version,
            manifest.family,
            generation,
            training.end_time_ms if training else None,
        )
        metrics.max_streams.set(rows.max_streams or 0)

    def run(self, chunk: list[Decoded]) -> Processed:
        """Process a chunk. Raises BundleError when too many records failed of late."""
        processed = self.processor.run(chunk)
        self.failures.served(processed.records, (letter.error for letter in processed.letters))
        return processed
