"""The encoder that the settings ask for.

Another output format is a file in `formats/`, a setting in `settings/output.py`, and a choice here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from eddycast.service.errors import SettingsError
from eddycast.service.formats.avro_encoder import AvroEncoder
from eddycast.service.formats.avro_schema import Schema, avro_schema
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.output import OutputSettings

#: Callable from a schema to the id under which it is registered, registering it if it is new;
#: implemented by `SchemaRegistry.id_of`.
SchemaIds = Callable[[Schema], int]


class ForecastEncoder(Protocol):
    """Encodes the forecasts of one model: `json_encoder.Encoder`, `avro_encoder.AvroEncoder`."""

    def encode(self, columns: ForecastColumns) -> list[bytes]:
        """Return one record per row."""


def no_schema_ids(_: Schema) -> int:
    """`SchemaIds` where there is no registry."""
    raise SettingsError("there is no schema registry", "set schema_registry.url")


def encoder_for(
    runtime: Runtime, output: OutputSettings, schema_ids: SchemaIds = no_schema_ids
) -> ForecastEncoder:
    """The encoder that the settings ask for. Raises SettingsError for levels or leads that the
    bundle does not forecast, and what `schema_ids` raises."""
    manifest = runtime.manifest
    if output.format == "json":
        return Encoder(manifest, output)
    shapes = runtime.output_shapes
    number = np.result_type(*(shapes[name][0] for name in ("one_step", "multi_step", "expected")))
    schema = avro_schema(len(manifest.channels), len(manifest.targets), number)
    return AvroEncoder(manifest, output, number, schema_ids(schema))
