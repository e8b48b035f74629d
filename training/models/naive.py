"""Point forecasters, and the baselines as such: the last value, and the value one season before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from eddycast.training.models.contract import Target, View
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.memory.memory import MemorySpec
from eddycast.training.models.memory.table import TableSpec
from eddycast.training.models.memory.units import slot_in_bin


class PointForecaster(Forecaster):
    """A point forecast without a hidden state; quantiles follow from its own errors on the
    validation part.

    `offsets_one` [quantiles] and `offsets_multi` [horizon, quantiles], in units, are set by
    `training/fitting/residuals.py`. The offset of the median is zero, so the median is the point
    forecast.
    """

    offsets_one: Tensor
    offsets_multi: Tensor

    def __init__(self, target: Target, memory: MemorySpec) -> None:
        super().__init__(target, memory)
        self.register_buffer("offsets_one", torch.zeros(len(target.quantiles)))
        self.register_buffer("offsets_multi", torch.zeros(target.horizon, len(target.quantiles)))

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        """The next value [n] and the leads [n, horizon], float32 in units.
        Implemented by every point forecaster."""
        raise NotImplementedError(f"{type(self).__name__} must implement points")

    def points_at(self, view: View, leads: Sequence[int]) -> Tensor:
        """Some of the `leads` [k], 0 = the first: [n, k]."""
        return self.points(view)[1][:, torch.tensor(leads)]

    def one_step_units(self, view: View) -> Tensor:
        return self.points(view)[0][:, None] + self.offsets_one

    def multi_step_units(self, view: View) -> Tensor:
        return self.points(view)[1][:, :, None] + self.offsets_multi

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        return self.points_at(view, leads)[:, :, None] + self.offsets_multi[torch.tensor(leads)]


class Naive(PointForecaster):
    """The last value, at every lead."""

    family = "naive"
    revision = 1

    def __init__(self, target: Target) -> None:
        super().__init__(target, MemorySpec(target.interval_ms))

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        zeros = torch.zeros_like(view.timestamp, dtype=torch.float32)
        return zeros, zeros[:, None].expand(-1, self.target.horizon)


class SeasonalNaive(PointForecaster):
    """The last value seen at the same phase of the season (in the same bin, for a season of over
    168 slots)."""

    family = "seasonal_naive"
    revision = 1

    def __init__(self, target: Target) -> None:
        spec = MemorySpec(target.interval_ms, target.season_steps, rates=(1.0,))
        super().__init__(target, spec)

    def points(self, view: View) -> tuple[Tensor, Tensor]:
        points = at_phase(view.features, view.timestamp, self.memory.spec.season, self.target.reach)
        return points[:, 0], self.target.lead_means(points)


def at_phase(table: Tensor, timestamp: Tensor, season: TableSpec, steps: int) -> Tensor:
    """Entries of a seasonal table [n, bins], in the order of the features,
    for each of the next `steps` slots: [n, steps]."""
    slot = slot_in_bin(timestamp, season.interval_ms, season.width)
    bins_ahead = torch.div(
        slot[:, None] + torch.arange(1, steps + 1), season.width, rounding_mode="floor"
    )
    return table.gather(1, (bins_ahead - 1).remainder(season.bins))
