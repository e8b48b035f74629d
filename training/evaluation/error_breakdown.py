"""Errors by lead and by hour of the day, and the reliability of quantiles,
collected during a backtest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eddycast.service.records import Float64
from eddycast.training.evaluation.protocols.scoring import ScoredBatch
from eddycast.training.evaluation.protocols.task import Task

HOURS = 24
HOUR_MS = 3_600_000


class ErrorBreakdown:
    """Sums over scored batches; an observer of a scorer."""

    def __init__(self, task: Task, model: str, levels: Sequence[float]) -> None:
        self._task, self._model, self.levels = task, model, tuple(levels)
        self.ahead = task.ahead
        self._by_lead: dict[str, Float64] = {}  # model -> [leads] absolute error
        self._by_hour: dict[str, Float64] = {}  # model -> [24]
        self._leads = np.zeros(len(task.ahead))
        self._hours = np.zeros(HOURS)
        self._below = np.zeros(len(self.levels))

    def __call__(self, batch: ScoredBatch) -> None:
        """Add a batch."""
        known = ~np.isnan(batch.target)
        stamps = self._task.panel.timestamps[batch.row[:, None] + self.ahead]
        hour = (stamps // HOUR_MS % HOURS)[known]
        self._leads += known.sum(axis=0)
        self._hours += np.bincount(hour, minlength=HOURS)
        for model, forecast in batch.forecasts.items():
            median = forecast[..., self.levels.index(0.5) if model == self._model else 0]
            error = np.nan_to_num(np.abs(batch.target - median))
            self._by_lead.setdefault(model, np.zeros(len(self.ahead)))
            self._by_hour.setdefault(model, np.zeros(HOURS))
            self._by_lead[model] += error.sum(axis=0)
            self._by_hour[model] += np.bincount(hour, error[known], HOURS)
        self._below += (batch.target[..., None] <= batch.forecasts[self._model]).sum(axis=(0, 1))

    @property
    def by_lead(self) -> dict[str, Float64]:
        """model -> mean absolute errors [leads]; NaN without a target."""
        return {model: _mean(total, self._leads) for model, total in self._by_lead.items()}

    @property
    def by_hour(self) -> dict[str, Float64]:
        """model -> mean absolute errors [24] of targets in each hour of the day (UTC)."""
        return {model: _mean(total, self._hours) for model, total in self._by_hour.items()}

    @property
    def reliability(self) -> Float64:
        """Shares of targets at or below each quantile, [levels];
        equal to the levels for a calibrated model."""
        return _mean(self._below, np.full(len(self.levels), self._leads.sum()))


def _mean(total: Float64, count: Float64) -> Float64:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
