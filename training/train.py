"""History in, bundle out: fit, export, score the exported bundle on the hold-out, seal the figures into it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from service.bundle import Manifest, TrainingRecord
from service.errors import DataError
from training.backtest import backtest
from training.data import Panel, Split, fingerprint
from training.export import ROW_LIMIT, Identity, add_backtest, export_bundle
from training.fitting.build import FAMILIES, fit_family
from training.fitting.problem import Problem
from training.fitting.recurrent import Report, Schedule, no_report
from training.metrics import Figure
from training.models import Target
from training.models.linear import LAGS
from training.models.support import parse_support, support_of
from training.report import manifest_figures

DEFAULT_FAMILY = "lstm"


@dataclass(frozen=True)
class Recipe:
    """What to train. `season_ms` None = no season; `linear_path` False = a recurrent net on its own; `calibrated`: each
    stream's intervals find their width while it is served; `support` None = found from the train part."""

    family: str = DEFAULT_FAMILY
    horizon: int = 24
    season_ms: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    lags: int = LAGS
    linear_path: bool = True
    calibrated: bool = True
    support: str | None = None
    seed: int = 0
    epochs: int | None = None
    threads: int = 1
    row_limit: int = ROW_LIMIT
    name: str | None = None


def train_bundle(
    panel: Panel, recipe: Recipe, split: Split, out: Path, report: Report = no_report
) -> tuple[Manifest, list[Figure]]:
    """Train on the panel's first two parts, write a bundle to `out`, and score it on the third.

    The figures come from the exported bundle, driven by the service's own engine. Raises DataError where the
    history is too short for the recipe.
    """
    _check(panel, recipe, split)
    torch.set_num_threads(recipe.threads)
    started = time.monotonic()
    model = fit_family(
        recipe.family,
        problem_of(panel, recipe, split),
        lags=recipe.lags,
        linear_path=recipe.linear_path,
        schedule=_schedule(recipe),
        report=report,
    )
    record = TrainingRecord(
        fingerprint=fingerprint(panel),
        streams=len(panel.streams),
        observations=panel.rows(0, split.validation_end).observations,
        end_time_ms=int(panel.timestamps[split.validation_end - 1]),
        seconds=round(time.monotonic() - started, 3),
    )
    export_bundle(model, Identity(recipe.name or recipe.family, training=record), out, row_limit=recipe.row_limit)
    figures = backtest(out, panel, "rolling", split)
    return add_backtest(out, manifest_figures(figures)), figures


def problem_of(panel: Panel, recipe: Recipe, split: Split) -> Problem:
    """What may be looked at while fitting: the first two parts of the panel, and nothing of the hold-out."""
    seen = panel.rows(0, split.validation_end)
    season = (recipe.season_ms or 0) // panel.interval_ms
    values = np.ascontiguousarray(seen.values.T)
    support = parse_support(recipe.support) if recipe.support else support_of(values[: split.train_end])
    target = Target(panel.interval_ms, recipe.horizon, recipe.quantiles, season, recipe.calibrated, support)
    return Problem(target, values, seen.timestamps, split.train_end, split.validation_end)


def _schedule(recipe: Recipe) -> Schedule:
    schedule = Schedule(seed=recipe.seed)
    return schedule if recipe.epochs is None else replace(schedule, epochs=recipe.epochs)


def _check(panel: Panel, recipe: Recipe, split: Split) -> None:
    if recipe.family not in FAMILIES:
        raise DataError(f"there is no family {recipe.family!r}", f"choose one of {', '.join(FAMILIES)}")
    if recipe.family == "seasonal_naive" and not recipe.season_ms:
        raise DataError("seasonal_naive needs a season", "name one with --season, for example 24h")
    for part, rows in (("train", split.train_end), ("validation", split.validation_end - split.train_end)):
        if rows < 2 * recipe.horizon:
            raise DataError(
                f"the {part} part has {rows} rows, a horizon of {recipe.horizon} needs {2 * recipe.horizon}",
                "give more history, another --split or a shorter --horizon",
            )
    empty = [
        name for name, row in zip(panel.streams, panel.values, strict=True) if np.isnan(row[: split.train_end]).all()
    ]
    if len(empty) == len(panel.streams):
        raise DataError("no stream has a value in the train part", "check --split and the value columns")
