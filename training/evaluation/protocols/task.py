"""Tasks: a scale, origins and leads to score. Protocols make tasks; a scorer scores one.

An origin is the last row that a forecast knows. Everything in a task up to an origin (values,
scales, denominators) follows from rows up to that origin or from the train part, so later rows do
not change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.records import Float64, Int64
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split

#: Source of a scored forecast: the forecast graph, the step graph,
#: or the step graph fed back on itself.
Source = Literal["multi_step", "one_step", "fed_back"]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Facts of a bundle, and choices of the user (None = the protocol's own),
    from which a protocol makes tasks."""

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
        """The options for a bundle; the season is its shortest unless one is given."""
        stride = manifest.forecast_interval_ms // manifest.interval_ms
        season_ms = season_ms or min(manifest.seasons_ms, default=None)
        return cls(manifest.horizon, stride, split, season_ms, horizons)


@dataclass(frozen=True, slots=True)
class Task:
    """y = (raw - centre) / scale by stream, scored at `origins`, `ahead` rows after each."""

    label: str
    panel: Panel
    # [streams, end] observed, on the scale of the task, as means over `stride` rows
    values: Float64
    centre: Float64  # [streams]
    scale: Float64  # [streams]
    origins: Int64  # [n] rows, rising
    ahead: Int64  # [leads] rows
    mase_scale: Float64  # [streams, n] the denominators of MASE at each origin
    season: int | None = None  # rows, of seasonal naive
    stride: int = 1
    source: Source = "multi_step"
    by_stream: bool = False  # WQL and MASE of all streams are means over streams, not pooled

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
        """Number of neighbouring origins whose errors are dependent:
        their targets overlap, or lie in one season."""
        apart = int(self.origins[1] - self.origins[0]) if len(self.origins) > 1 else 1
        longest = max(int(self.ahead[-1]), self.season or 1)
        return max(-(-longest // apart), int(len(self.origins) ** (1 / 3)))


def season_rows(panel: Panel, season_ms: int | None) -> int | None:
    """A season in rows of the panel. Raises DataError if it is not a whole number of intervals."""
    if season_ms and season_ms % panel.interval_ms:
        raise DataError(
            f"a season of {format_duration(season_ms)} is not a whole number of intervals",
            "change --season",
        )
    return season_ms // panel.interval_ms if season_ms else None


def check_split(panel: Panel, split: Split) -> None:
    """Raises DataError for a split beyond the panel."""
    if split.end > len(panel):
        raise DataError(
            f"the split ends at row {split.end:,}, the data has {len(panel):,}", "change --split"
        )


def check_horizons(ask: TaskOptions, horizons: Sequence[int]) -> None:
    """Raises DataError for a horizon beyond the bundle's."""
    if max(horizons) > ask.horizon:
        raise DataError(
            f"the bundle forecasts {ask.horizon} steps ahead", "ask for a shorter horizon"
        )
