"""The part of each forecast that is written: quantile levels, leads and digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.errors import SettingsError
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.rounding import rounded, rounded_with_error
from eddycast.service.settings.output import OutputSettings


class Selection:
    """`OutputSettings` resolved for one bundle."""

    def __init__(self, manifest: Manifest, output: OutputSettings) -> None:
        """Raises SettingsError for a level or lead that the bundle does not forecast."""
        levels = list(manifest.quantiles)
        self.quantiles = list(output.chosen_quantiles or levels)
        self.leads = list(output.chosen_leads) or None
        if absent := [level for level in self.quantiles if level not in levels]:
            raise SettingsError(
                f"output.quantiles: the bundle {manifest.label} does not forecast {absent[0]:g}",
                f"choose from {', '.join(f'{level:g}' for level in levels)}",
            )
        if self.leads and self.leads[-1] > manifest.horizon:
            raise SettingsError(
                f"output.leads: the horizon of the bundle {manifest.label} is {manifest.horizon}, "
                f"so it does not forecast lead {self.leads[-1]}",
                f"choose leads from 1 to {manifest.horizon}",
            )
        self._levels = (
            None
            if self.quantiles == levels
            else np.array([levels.index(level) for level in self.quantiles])
        )
        self._rows = None if self.leads is None else np.array(self.leads) - 1
        self._digits = output.chosen_digits

    def __call__(self, columns: ForecastColumns) -> ForecastColumns:
        """Return what is written of forecasts.

        Digits are counted by the whole interval,
        so a number does not depend on which others are written.
        """
        one_step, multi_step = columns.one_step, columns.multi_step
        expected, error = columns.expected, columns.error
        if multi_step is not None and self._rows is not None:
            multi_step = multi_step[:, self._rows]
        if self._digits is not None:
            one_step, multi_step = rounded(one_step, multi_step, self._digits)
            expected, error = rounded_with_error(expected, error, self._digits)
        if self._levels is not None:
            one_step, expected = one_step[..., self._levels], expected[..., self._levels]
            multi_step = None if multi_step is None else multi_step[..., self._levels]
        return replace(
            columns, one_step=one_step, multi_step=multi_step, expected=expected, error=error
        )
