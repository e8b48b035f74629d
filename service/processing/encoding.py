"""The encoder that the settings ask for.

Another output format is a file in `formats/`, a setting in `settings/output.py`, and a choice here.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from eddycast.service.formats.avro_encoder import AvroEncoder
from eddycast.service.formats.avro_schema import avro_schema
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.output import OutputSettings


class ForecastEncoder(Protocol):
    """Encodes the forecasts of one model: `json_encoder.Encoder`, `avro_encoder.AvroEncoder`."""

    def encode(self, columns: ForecastColumns) -> list[bytes]:
        """Return one record per row."""


def encoder_for(
    runtime: Runtime, output: OutputSettings, schemas: Schemas = NO_SCHEMAS
) -> ForecastEncoder:
    """The encoder that the settings ask for. Raises SettingsError for levels or leads that the
    bundle does not forecast, and what `schemas` raises."""
    manifest = runtime.manifest
    if output.format == "json":
        return Encoder(manifest, output)
    shapes = runtime.output_shapes
    number = np.result_type(*(shapes[name][0] for name in ("one_step", "multi_step", "expected")))
    schema = avro_schema(len(manifest.channels), len(manifest.targets), number)
    return AvroEncoder(manifest, output, number, schemas.id_of(schema))
