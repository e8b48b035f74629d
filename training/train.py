"""History in, bundle out: fit, export, score the exported bundle on the hold-out, seal the figures into it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from service.bundle import Manifest, TrainingRecord
from service.errors import DataError
from service.wording import many
from training.backtest import backtest
from training.checks import check_panel
from training.data import Panel, Split, fingerprint, format_duration
from training.export import ROW_LIMIT, Identity, Model, add_backtest, export_bundle
from training.fitting.build import AUTO, FAMILIES, MEMBERS, Plan, fit_family
from training.fitting.choice import fit_auto, reason
from training.fitting.own import hold_to_laws, is_own, load_own
from training.fitting.problem import Problem
from training.fitting.recurrent import Report, Schedule, no_report, schedule_of
from training.metrics import Figure
from training.models import Forecaster, Joint, Target
from training.models.linear import LAGS
from training.models.support import Support, parse_support, support_of
from training.parity import onnx_is_torch
from training.replacing import replacing
from training.report import manifest_figures

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


def train_bundle(
    panel: Panel, recipe: Recipe, split: Split, out: Path, report: Report = no_report
) -> tuple[Manifest, list[Figure]]:
    """Train on the panel's first two parts, write a bundle to `out`, and score it on the third.

    The figures come from the exported bundle, driven by the service's own engine. Raises DataError where the
    history is too short for the recipe.
    """
    with replacing(out) as fresh:
        fit_bundle(panel, recipe, split, fresh, report)
        figures = backtest(fresh, panel, "rolling", split)
        return add_backtest(fresh, manifest_figures(figures)), figures


def fit_bundle(panel: Panel, recipe: Recipe, split: Split, out: Path, report: Report = no_report) -> Manifest:
    """Train and write the bundle, without a look at the hold-out. Raises DataError as `train_bundle` does."""
    _check(panel, recipe, split)
    torch.set_num_threads(recipe.threads)
    started = time.monotonic()
    plan = _plan(recipe, report)
    targets = recipe.targets or panel.channels or UNNAMED
    fitted = [_fit(problem_of(panel, recipe, split, target), recipe, plan) for target in targets]
    model = joined([one for one, _ in fitted], targets, panel.channels)
    record = TrainingRecord(
        fingerprint=fingerprint(panel),
        streams=len(panel.streams) // panel.width,
        observations=panel.rows(0, split.validation_end).observations,
        end_time_ms=int(panel.timestamps[split.validation_end - 1]),
        seconds=round(time.monotonic() - started, 3),
        choice="; ".join(choice for _, choice in fitted if choice),
    )
    identity = Identity(recipe.name or model.family, panel.channels or UNNAMED, targets, training=record)
    if isinstance(model, Joint) or not is_own(recipe.family):
        return export_bundle(model, identity, out, row_limit=recipe.row_limit)
    own = load_own(recipe.family)
    hold_to_laws(own, model, recipe.row_limit)
    with own.at("when it is exported"):
        manifest = export_bundle(model, identity, out, row_limit=recipe.row_limit)
        onnx_is_torch(model, out)
    return manifest


def _fit(problem: Problem, recipe: Recipe, plan: Plan) -> tuple[Forecaster, str]:
    """The forecaster of one target, and why it is of its family where that was chosen."""
    if recipe.family != AUTO:
        return fit_family(recipe.family, problem, plan), ""
    candidates = fit_auto(problem, plan, recipe.budget_s)
    return candidates[0].model, reason(candidates)


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
    by_channel = {name: np.ascontiguousarray(seen.only([name]).values.T) for name in panel.channels}
    values = by_channel.pop(target) if target in by_channel else np.ascontiguousarray(seen.values.T)
    others = tuple(by_channel.values())
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


def _support(train: Panel, recipe: Recipe) -> Support:
    """What the train part speaks for; of several targets it has to be all of them. An increase is never negative."""
    if train.kind == "counter":
        return "nonnegative"
    return support_of((train.only(recipe.targets) if recipe.targets else train).values.T)


def _plan(recipe: Recipe, report: Report) -> Plan:
    def schedule(family: str) -> Schedule:
        known = load_own(family).schedule if is_own(family) else schedule_of(family)
        own = replace(known, seed=recipe.seed)
        return own if recipe.epochs is None else replace(own, epochs=recipe.epochs)

    return Plan(recipe.lags, recipe.iterated, recipe.linear_path, recipe.members, schedule, report)


def check_family(family: str) -> None:
    """Raises DataError for a family that there is not, FamilyError for one's own that does not load."""
    if is_own(family):
        load_own(family)
    elif family not in FAMILIES:
        raise DataError(f"there is no family {family!r}", f"choose one of {', '.join(FAMILIES)}, or FILE.py:CLASS")


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
    if is_own(recipe.family) and panel.channels:
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
