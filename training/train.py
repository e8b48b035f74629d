"""History in, bundle out: fit, export, score the exported bundle on the hold-out, seal the figures into it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.bundle import Manifest, TrainingRecord
from service.errors import DataError
from service.humanize import many
from service.model.loading import load_runtime
from service.processing.missing_codes import Codes
from service.sealing.bundle_limits import MODEL_NAME
from training.bundle_directory import replacing
from training.data.checks import check_panel
from training.data.gaps import longest_gap
from training.data.panel import Panel, Split, fingerprint, format_duration
from training.evaluation.backtest import backtest
from training.evaluation.metrics import Figure
from training.evaluation.report import manifest_figures
from training.export.onnx_export import ROW_LIMIT, Identity, Model, add_backtest, export_bundle
from training.export.parity import onnx_is_torch
from training.fitting.custom_family import check_invariants, is_custom, load_custom
from training.fitting.families import AUTO, FAMILIES, MEMBERS, Plan, fit_family
from training.fitting.problem import Problem
from training.fitting.recurrent import Schedule, TrainingProgress, no_progress, schedule_of
from training.fitting.selection import fit_auto, reason
from training.fitting.suspects import screened, suspects_note
from training.models import Forecaster, Joint, Target
from training.models.linear import LAGS
from training.models.quantiles.support import Support, parse_support, support_of

DEFAULT_FAMILY = "lstm"
UNNAMED = ("value",)  # the channel of a stream that has but one


@dataclass(frozen=True)
class Recipe:
    """What to train. `forecast_interval_ms`: the horizon's own grid (None = that of the values); `season_ms` None = no
    season, `second_season_ms` a longer one beside it; `linear_path` False = a recurrent net on its own; `iterated` =
    `ar` as the textbook has it, from lags alone and fed back on itself; `calibrated`: each stream's intervals find
    their width while it is served; `support` None = found from the train part, of counters nonnegative. `members` are
    those of `mix`; after `budget_s` seconds `auto` begins no further family. `targets`: which of the panel's channels
    are forecast (none named = all).
    """

    family: str = DEFAULT_FAMILY
    horizon: int = 24
    forecast_interval_ms: int | None = None
    season_ms: int | None = None
    second_season_ms: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    lags: int = LAGS
    iterated: bool = False
    linear_path: bool = True
    members: tuple[str, ...] = MEMBERS
    budget_s: float | None = None
    calibrated: bool = True
    support: str | None = None
    seed: int = 0
    epochs: int | None = None
    threads: int = 1
    row_limit: int = ROW_LIMIT
    name: str | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Fit:
    """The forecaster of one target, why it is of its family where that was chosen, and how to fit the like again.
    `problem` is without what was `held` back, [T, S]."""

    problem: Problem
    held: NDArray[np.bool_]
    model: Forecaster
    choice: str
    again: Callable[[Problem], Forecaster]


def train_bundle(
    panel: Panel,
    recipe: Recipe,
    split: Split,
    out: Path,
    report: TrainingProgress = no_progress,
    *,
    refit: bool = False,
) -> tuple[Manifest, list[Figure]]:
    """Train on the panel's first two parts, write a bundle to `out`, and score it on the third.

    The figures come from the exported bundle, driven by the service's own engine. With `refit` the bundle in `out` is
    not the one that was scored: it was fitted once more, on all of the panel, with what the validation part chose. A
    family with a `fit` of its own is not, and ctrl-C leaves it out. Raises DataError where the history is too short for
    the recipe.
    """
    with replacing(out) as fresh:
        started = time.monotonic()
        fits = _fits(panel, recipe, split, report)
        _export(fits, panel, recipe, _record(panel, recipe, split, started, fits), fresh)
        figures = backtest(fresh, panel, "rolling", split)
        if refit and (again := _fitted_again(fits, panel, recipe)):
            _export(again, panel, recipe, _record(panel, recipe, split, started, fits, refit=True), fresh)
            load_runtime(fresh)
        return add_backtest(fresh, manifest_figures(figures)), figures


def fit_bundle(
    panel: Panel, recipe: Recipe, split: Split, out: Path, report: TrainingProgress = no_progress
) -> Manifest:
    """Train and write the bundle, without a look at the hold-out. Raises DataError as `train_bundle` does."""
    started = time.monotonic()
    fits = _fits(panel, recipe, split, report)
    return _export(fits, panel, recipe, _record(panel, recipe, split, started, fits), out)


def _targets(panel: Panel, recipe: Recipe) -> tuple[str, ...]:
    return recipe.targets or panel.channels or UNNAMED


def _fits(panel: Panel, recipe: Recipe, split: Split, report: TrainingProgress) -> list[_Fit]:
    _check(panel, recipe, split)
    torch.set_num_threads(recipe.threads)
    plan = _plan(recipe, report)
    return [_fit(problem_of(panel, recipe, split, target), recipe, plan) for target in _targets(panel, recipe)]


def _fit(problem: Problem, recipe: Recipe, plan: Plan) -> _Fit:
    problem, held = screened(problem)
    if recipe.family != AUTO:
        again = partial(fit_family, recipe.family, plan=plan)
        return _Fit(problem, held, again(problem), "", again)
    candidates = fit_auto(problem, plan, recipe.budget_s)
    return _Fit(problem, held, candidates[0].model, reason(candidates), candidates[0].again)


def _fitted_again(fits: Sequence[_Fit], panel: Panel, recipe: Recipe) -> list[_Fit] | None:
    """The same on all of the panel; None where it cannot be, or is interrupted."""
    if is_custom(recipe.family) and load_custom(recipe.family).fits_itself:
        return None
    try:
        return [
            replace(fit, model=fit.again(screened(whole_of(panel, fit.problem, target))[0]))
            for fit, target in zip(fits, _targets(panel, recipe), strict=True)
        ]
    except KeyboardInterrupt:
        return None


def _record(
    panel: Panel, recipe: Recipe, split: Split, started: float, fits: Sequence[_Fit], *, refit: bool = False
) -> TrainingRecord:
    seen = panel if refit else panel.rows(0, split.validation_end)
    names = [name for target in _targets(panel, recipe) for name in _series(panel, target)]
    return TrainingRecord(
        fingerprint=fingerprint(panel),
        streams=len(panel.streams) // panel.width,
        observations=seen.observations,
        end_time_ms=int(seen.timestamps[-1]),
        seconds=round(time.monotonic() - started, 3),
        choice="; ".join(fit.choice for fit in fits if fit.choice),
        suspects=suspects_note(np.concatenate([fit.held for fit in fits], 1), names, panel.timestamps),
        refit=refit,
        holdout_start_ms=int(panel.timestamps[split.validation_end]),
        holdout_end_ms=int(panel.timestamps[split.end - 1]),
    )


def _export(fits: Sequence[_Fit], panel: Panel, recipe: Recipe, record: TrainingRecord, out: Path) -> Manifest:
    targets = _targets(panel, recipe)
    model = joined([fit.model for fit in fits], targets, panel.channels)
    name, channels = recipe.name or model.family, panel.channels or UNNAMED
    gap = longest_gap(panel.fed, model.span)
    identity = Identity(name, channels, targets, gap, record, codes_of(panel))
    if isinstance(model, Joint) or not is_custom(recipe.family):
        return export_bundle(model, identity, out, row_limit=recipe.row_limit)
    own = load_custom(recipe.family)
    check_invariants(own, model, recipe.row_limit)
    with own.at("when it is exported"):
        manifest = export_bundle(model, identity, out, row_limit=recipe.row_limit)
        onnx_is_torch(model, out)
    return manifest


def joined(parts: Sequence[Forecaster], targets: Sequence[str], channels: Sequence[str]) -> Model:
    """One model of the forecasters of all targets; that of a stream without named channels is one already."""
    return Joint(parts, [channels.index(target) for target in targets], len(channels)) if channels else parts[0]


def problem_of(panel: Panel, recipe: Recipe, split: Split, target: str | None = None) -> Problem:
    """What may be looked at while fitting: the first two parts of the panel, and nothing of the hold-out. `target`: the
    channel that is forecast, where there are several."""
    seen = panel.rows(0, split.validation_end)
    season = (recipe.season_ms or 0) // panel.interval_ms
    block = (recipe.forecast_interval_ms or panel.interval_ms) // panel.interval_ms
    support = parse_support(recipe.support) if recipe.support else _support(seen.rows(0, split.train_end), recipe)
    values, others = _values(seen, target)
    what = Target(
        panel.interval_ms,
        recipe.horizon,
        recipe.quantiles,
        season,
        block,
        recipe.calibrated,
        support,
        second_steps=(recipe.second_season_ms or 0) // panel.interval_ms,
        others=len(others),
        kind=panel.kind,
        register=panel.register,
    )
    return Problem(what, values, seen.timestamps, split.train_end, split.validation_end, others)


def _series(panel: Panel, target: str) -> list[str]:
    """What the streams of a target are called."""
    return (panel.only([target]) if panel.channels else panel).streams


def codes_of(panel: Panel) -> Codes:
    """The codes for a missing value that the service is told. A meter passes every positive number on its way up, so of
    counters only negative ones are."""
    if panel.kind == "gauge":
        return panel.codes
    codes = tuple(tuple(code for code in each if code < 0) for each in panel.codes)
    return codes if any(codes) else ()


def whole_of(panel: Panel, problem: Problem, target: str | None = None) -> Problem:
    """The problem of a last fit: all rows teach, and what the validation part of `problem` chose stands."""
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


def _values(panel: Panel, target: str | None) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """[T, S] of the target, and of each other channel."""
    by_channel = {name: np.ascontiguousarray(panel.only([name]).values.T) for name in panel.channels}
    values = by_channel.pop(target) if target in by_channel else np.ascontiguousarray(panel.values.T)
    return values, tuple(by_channel.values())


def _support(train: Panel, recipe: Recipe) -> Support:
    """What the train part speaks for; of several targets it has to be all of them. An increase is never negative."""
    if train.kind == "counter":
        return "nonnegative"
    return support_of((train.only(recipe.targets) if recipe.targets else train).values.T)


def _plan(recipe: Recipe, report: TrainingProgress) -> Plan:
    def schedule(family: str) -> Schedule:
        known = load_custom(family).schedule if is_custom(family) else schedule_of(family)
        own = replace(known, seed=recipe.seed)
        return own if recipe.epochs is None else replace(own, epochs=recipe.epochs)

    return Plan(recipe.lags, recipe.iterated, recipe.linear_path, recipe.members, schedule, report)


def check_family(family: str) -> None:
    """Raises DataError for a family that there is not, FamilyError for one's own that does not load."""
    if is_custom(family):
        load_custom(family)
    elif family not in FAMILIES:
        raise DataError(f"there is no family {family!r}", f"choose one of {', '.join(FAMILIES)}, or FILE.py:CLASS")


def check_name(name: str | None) -> None:
    """Raises DataError for a name that no bundle may have."""
    if name is not None and not re.fullmatch(MODEL_NAME, name):
        raise DataError(
            f"--name {name!r} is no name for a model", "up to 64 letters, digits, spaces and any of . : + - _"
        )


def _check(panel: Panel, recipe: Recipe, split: Split) -> None:
    check_family(recipe.family)
    if recipe.iterated and recipe.family != "ar":
        raise DataError(f"{recipe.family} is not iterated", "give --family ar with --iterated")
    if recipe.family == "seasonal_naive" and not recipe.season_ms:
        raise DataError("seasonal_naive needs a season", "name one with --season, for example 24h")
    grid, apart = panel.interval_ms, recipe.forecast_interval_ms or panel.interval_ms
    if apart % grid:
        raise DataError(
            f"a forecast interval of {format_duration(apart)} is not a whole number of intervals of "
            f"{format_duration(grid)}",
            "change --forecast-interval",
        )
    if recipe.lags > max(split.train_end, LAGS):
        raise DataError(
            f"--lags {recipe.lags} are more than the {many(split.train_end, 'row')} of the train part", "give fewer"
        )
    if recipe.iterated and panel.channels:
        raise DataError("an iterated autoregression reads one channel", "leave out --iterated or --channels")
    if panel.kind == "counter" and panel.channels:
        raise DataError("a counter has one channel", "leave out --channels, or --kind counter")
    if is_custom(recipe.family) and panel.channels:
        raise DataError("a family of one's own reads one channel", "leave out --channels, or choose a built-in family")
    check_targets(recipe.targets, panel.channels)
    for target in recipe.targets or panel.channels or UNNAMED:
        judged = panel.only([target]) if panel.channels else panel
        check_panel(judged, recipe.horizon * (apart // grid), recipe.second_season_ms or recipe.season_ms, split)


def check_targets(targets: Sequence[str], channels: Sequence[str]) -> None:
    """Raises DataError for a target that is no channel, or is named twice."""
    for target in targets:
        if target not in channels or targets.count(target) > 1:
            what = (
                f"{target!r} is named twice" if target in channels else f"target {target!r} is not among the channels"
            )
            there = f"the channels are {', '.join(channels)}" if channels else "name the channels with --channels"
            raise DataError(what, there)
