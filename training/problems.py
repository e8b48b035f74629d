"""From a panel to the problems of a training, one for each target:
the part of history that a fit may read."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eddycast.service.history.history import UNNAMED
from eddycast.training.data.own_split import to_fit_on
from eddycast.training.data.panel import Panel
from eddycast.training.data.seasons import find_seasons
from eddycast.training.data.split import Split
from eddycast.training.fitting.problem import Problem
from eddycast.training.models import Target
from eddycast.training.models.memory.memory import DAY_MS
from eddycast.training.models.quantiles.support import Support, parse_support, support_of
from eddycast.training.recipe import Recipe


def with_seasons(recipe: Recipe, panel: Panel, split: Split) -> Recipe:
    """The recipe with its seasons, detected in the train part where it names none."""
    if recipe.seasons_ms is not None:
        return recipe
    panel, split = to_fit_on(panel, split)
    found = find_seasons(panel.values[:, : split.train_end].T)
    return replace(recipe, seasons_ms=tuple(steps * panel.interval_ms for steps in found))


def period_of(recipe: Recipe, panel: Panel) -> int:
    """Rows after which every phase that a model may learn is the same again:
    those of the seasons, or of a day where there is none."""
    periods = recipe.seasons_ms or (DAY_MS,)
    return math.lcm(panel.interval_ms, *periods) // panel.interval_ms


def targets_of(panel: Panel, recipe: Recipe) -> tuple[str, ...]:
    """The channels to forecast: those of the recipe, or all but the number of readings."""
    return recipe.targets or tuple(c for c in panel.channels if c != panel.count) or UNNAMED


def problem_of(panel: Panel, recipe: Recipe, split: Split, target: str | None = None) -> Problem:
    """The problem of one target: the train and validation parts of the panel, nothing of the
    hold-out. `target` is the channel to forecast, where there are several."""
    seen = panel.rows(0, split.validation_end)
    support = (
        parse_support(recipe.support)
        if recipe.support
        else _support(seen.rows(0, split.train_end), recipe)
    )
    values, others = _values(seen, target)
    quantity = Target(
        panel.interval_ms,
        recipe.horizon,
        recipe.quantiles,
        (recipe.season_ms or 0) // panel.interval_ms,
        (recipe.forecast_interval_ms or panel.interval_ms) // panel.interval_ms,
        recipe.calibrated,
        support,
        second_steps=(recipe.second_season_ms or 0) // panel.interval_ms,
        others=len(others),
        kind=panel.kind,
        register=panel.register,
    )
    return Problem(quantity, values, seen.timestamps, split.train_end, split.validation_end, others)


def whole_of(panel: Panel, problem: Problem, target: str | None = None) -> Problem:
    """The problem of a final fit: all rows of the panel teach,
    and the choices of `problem`'s validation part stand."""
    values, others = _values(panel, target)
    end = len(panel)
    return replace(
        problem,
        values=values,
        timestamps=panel.timestamps,
        train_end=end,
        validation_end=end,
        others=others,
        final=True,
    )


def series_of(panel: Panel, target: str) -> list[str]:
    """Names of the panel's series of one target, one for each stream."""
    return (panel.only([target]) if panel.channels else panel).streams


def _values(
    panel: Panel, target: str | None
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Values [T, S] of the target, and of each other channel."""
    by_channel = {
        name: np.ascontiguousarray(panel.only([name]).values.T) for name in panel.channels
    }
    values = (
        by_channel.pop(target) if target in by_channel else np.ascontiguousarray(panel.values.T)
    )
    return values, tuple(by_channel.values())


def _support(train: Panel, recipe: Recipe) -> Support:
    """The support that the train part suggests, of all targets together.
    An increase is never negative."""
    if train.kind == "counter":
        return "nonnegative"
    targets = train.only(targets_of(train, recipe)) if train.channels else train
    return support_of(targets.values.T)
