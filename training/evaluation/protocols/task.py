"""A task: what is judged, on which scale, at which origins. Protocols make tasks; a judge scores one.

An origin is the last row known to a forecast. Everything that a task is made of up to an origin (values, scales,
denominators) follows from rows up to that origin or from the train part, so nothing later changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.bundle import Manifest
from service.errors import DataError
from service.records import Float64, Int64
from training.data.durations import format_duration
from training.data.panel import Panel
from training.data.split import Split

#: Where a judged forecast comes from: the forecast graph, the step graph, or the step graph fed back on itself.
Source = Literal["multi_step", "one_step", "fed_back"]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What a bundle is asked: what it can do, and what was wished for (None = as the protocol has it)."""

    horizon: int
    stride: int = 1  # rows from one lead of the forecast graph to the next
    split: Split | None = None
    season_ms: int | None = None
    horizons: Sequence[int] | None = None

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        split: Split | None = None,
        season_ms: int | None = None,
        horizons: Sequence[int] | None = None,
    ) -> TaskOptions:
        """The season is the bundle's shortest unless one is given."""
        stride = manifest.forecast_interval_ms // manifest.interval_ms
        season_ms = season_ms or min(manifest.seasons_ms, default=None)
        return cls(manifest.horizon, stride, split, season_ms, horizons)


@dataclass(frozen=True, slots=True)
class Task:
    """y = (raw - centre) / scale by stream, judged at `origins`, `ahead` rows after each."""

    label: str
    panel: Panel
    values: Float64  # [streams, end] what came, on the scale that is judged, a mean over `stride` rows
    centre: Float64  # [streams]
    scale: Float64  # [streams]
    origins: Int64  # [n] rows, rising
    ahead: Int64  # [leads] rows
    mase_scale: Float64  # [streams, n] the denominators of MASE at each origin
    season: int | None = None  # rows, of seasonal naive
    stride: int = 1
    source: Source = "multi_step"
    by_stream: bool = False  # WQL and MASE of all streams: the mean over streams of each one's own, not pooled

    @property
    def end(self) -> int:
        """Rows of the panel that may be seen."""
        return int(self.values.shape[1])

    @property
    def horizon(self) -> int:
        """The last lead, in steps of the forecast."""
        return int(self.ahead[-1]) // self.stride

    @property
    def block(self) -> int:
        """Origins whose errors hang together: their targets overlap, or lie in one season."""
        apart = int(self.origins[1] - self.origins[0]) if len(self.origins) > 1 else 1
        longest = max(int(self.ahead[-1]), self.season or 1)
        return max(-(-longest // apart), int(len(self.origins) ** (1 / 3)))


def season_rows(panel: Panel, season_ms: int | None) -> int | None:
    """A season on the panel's grid. Raises DataError if it does not fit."""
    if season_ms and season_ms % panel.interval_ms:
        raise DataError(
            f"a season of {format_duration(season_ms)} is not a whole number of intervals", "change --season"
        )
    return season_ms // panel.interval_ms if season_ms else None


def check_split(panel: Panel, split: Split) -> None:
    """Raises DataError for a split beyond the panel."""
    if split.end > len(panel):
        raise DataError(f"the split ends at row {split.end:,}, the data has {len(panel):,}", "change --split")


def check_horizons(ask: TaskOptions, horizons: Sequence[int]) -> None:
    """Raises DataError for a horizon that the bundle does not reach."""
    if max(horizons) > ask.horizon:
        raise DataError(f"the bundle forecasts {ask.horizon} steps ahead", "ask for a shorter horizon")
