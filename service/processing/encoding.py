"""The encoder that the settings ask for.

Another output format is a file in `formats/`, a setting in `settings/output.py`, and a choice here.
"""

from __future__ import annotations

from typing import Protocol

from eddycast.service.bundle import Manifest
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.settings.output import OutputSettings


class ForecastEncoder(Protocol):
    """Encodes the forecasts of one model: `json_encoder.Encoder`."""

    def encode(self, columns: ForecastColumns) -> list[bytes]:
        """Return one record per row."""


def encoder_for(manifest: Manifest, output: OutputSettings) -> ForecastEncoder:
    """The encoder that the settings ask for. Raises SettingsError for levels or leads that the
    bundle does not forecast."""
    return Encoder(manifest, output)
