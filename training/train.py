"""History in, bundle out: fit, export, score the exported bundle on the hold-out,
write its figures into the manifest.

    Recipe                the user's choices, also `train`'s options  training/recipe.py
      └─ Plan             how the families of that recipe are fitted  training/fitting/families.py
           └─ Schedule    hyperparameters of one gradient fit         training/fitting/recurrent.py

    Panel, Split, Recipe  the history on its grid, with its cuts      training/data/
      └─ Problem          the history of a target without hold-out    training/fitting/problem.py
           └─ Target      the quantity that its forecaster emits      training/models/contract.py

A fit takes one of each side: `fit_family(family, problem, plan)` returns the forecaster of one
target. The forecasters of all targets are joined, and exported as one model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.service.bundle import Manifest, TrainingRecord
from eddycast.service.model.loading import load_runtime
from eddycast.service.processing.missing_codes import Codes
from eddycast.training.bundle_directory import replacing
from eddycast.training.cores import cores
from eddycast.training.data.gap_limit import night_share
from eddycast.training.data.likeness import narrow_note
from eddycast.training.data.own_split import times_of, to_fit_on, to_score_on, unmoved
from eddycast.training.data.panel import Panel, fingerprint
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.cold_start import cold_start
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.report import manifest_figures
from eddycast.training.export.onnx_export import Identity, add_figures, export_bundle
from eddycast.training.export.parity import onnx_is_torch
from eddycast.training.fitting.custom_family import check_invariants, is_custom, load_custom
from eddycast.training.fitting.devices import device_of
from eddycast.training.fitting.families import AUTO, Plan, fit_family
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.recurrent import Schedule, TrainingProgress, no_progress, schedule_of
from eddycast.training.fitting.selection import fit_auto, reason
from eddycast.training.fitting.without_suspects import screened, suspects_note
from eddycast.training.models import Forecaster, Joint
from eddycast.training.models.joint import Model
from eddycast.training.problems import (
    period_of,
    problem_of,
    series_of,
    targets_of,
    whole_of,
    with_seasons,
)
from eddycast.training.recipe import UNNAMED, Recipe
from eddycast.training.recipe_checks import check_recipe


def train_bundle(
    panel: Panel,
    recipe: Recipe,
    split: Split,
    out: Path,
    report: TrainingProgress = no_progress,
    *,
    refit: bool = False,
) -> tuple[Manifest, list[Figure]]:
    """Train on the first two parts of the panel, write a bundle to `out`,
    and score it on the third.

    The figures come from the exported bundle, run by the service's own engine. With `refit` the
    bundle in `out` is not the one that was scored: it was fitted once more, to the whole panel,
    with the choices of the validation part. That is left out for a family with a `fit` of its own,
    and after ctrl-C. Raises DataError where the recipe does not fit the panel, FamilyError for a
    custom family that fails.
    """
    with replacing(out) as fresh:
        run = _Run(panel, with_seasons(recipe, panel, split), split, time.monotonic())
        fits = run.fit(report)
        run.export(fits, fresh)
        figures = backtest(fresh, run.scored_on[0], "rolling", run.scored_on[1])
        fresh_streams = cold_start(load_runtime(fresh), *run.scored_on)
        if refit and (again := run.fit_again(fits)):
            run.export(again, fresh, refit=True)
            load_runtime(fresh)
        return add_figures(fresh, manifest_figures(figures), fresh_streams), figures


def fit_bundle(
    panel: Panel, recipe: Recipe, split: Split, out: Path, report: TrainingProgress = no_progress
) -> Manifest:
    """Train and write the bundle without reading the hold-out. Raises as `train_bundle` does."""
    run = _Run(panel, with_seasons(recipe, panel, split), split, time.monotonic())
    return run.export(run.fit(report), out)


def refit_bundle(
    panel: Panel, recipe: Recipe, split: Split, out: Path, report: TrainingProgress = no_progress
) -> Manifest:
    """Train with the choices of the validation part on the whole panel, as `train_bundle` does with
    `refit`, and write the bundle. Nothing is scored. Raises as `train_bundle` does."""
    run = _Run(panel, with_seasons(recipe, panel, split), split, time.monotonic())
    fits = run.fit(report)
    again = run.fit_again(fits)
    return run.export(again or fits, out, refit=again is not None)


def joined(parts: Sequence[Forecaster], targets: Sequence[str], channels: Sequence[str]) -> Model:
    """One model of the forecasters of all targets.
    A stream without named channels has only one, which is returned."""
    return (
        Joint(parts, [channels.index(target) for target in targets], len(channels))
        if channels
        else parts[0]
    )


def codes_of(panel: Panel) -> Codes:
    """The codes for a missing value in the manifest. Of counters only the negative ones: a meter
    passes every positive number on its way up."""
    if panel.kind == "gauge":
        return panel.codes
    codes = tuple(tuple(code for code in each if code < 0) for each in panel.codes)
    return codes if any(codes) else ()


@dataclass(frozen=True)
class _Fit:
    """The forecaster of one target, the reason for its family if that was chosen,
    and how to fit it again."""

    problem: Problem  # without the readings that were held back
    held: NDArray[np.bool_]  # [T, S], the readings that were held back
    model: Forecaster
    choice: str
    again: Callable[[Problem], Forecaster]


@dataclass(frozen=True)
class _Run:
    """One training: a panel, its recipe and its cut; `started` is monotonic, in seconds."""

    panel: Panel
    recipe: Recipe
    split: Split
    started: float

    @property
    def targets(self) -> tuple[str, ...]:
        """The channels to forecast."""
        return targets_of(self.panel, self.recipe)

    @cached_property
    def fitted_on(self) -> tuple[Panel, Split]:
        """The history that may be learned from, and its cut."""
        return to_fit_on(self.panel, self.split, period_of(self.recipe, self.panel))

    @cached_property
    def scored_on(self) -> tuple[Panel, Split]:
        """The history with the hold-out, and its cut."""
        return to_score_on(self.panel, self.split, period_of(self.recipe, self.panel))

    def fit(self, report: TrainingProgress) -> list[_Fit]:
        """A forecaster for each target."""
        panel, split = self.scored_on
        check_recipe(panel, self.recipe, split)
        torch.set_num_threads(self.recipe.threads or cores())
        plan = _plan(self.recipe, report)
        panel, split = self.fitted_on
        problems = [problem_of(panel, self.recipe, split, target) for target in self.targets]
        return [_fit(problem, self.recipe, plan) for problem in problems]

    def fit_again(self, fits: Sequence[_Fit]) -> list[_Fit] | None:
        """The same forecasters, fitted to the whole panel;
        None if that is impossible or interrupted."""
        if is_custom(self.recipe.family) and load_custom(self.recipe.family).fits_itself:
            return None
        panel, _ = self.scored_on
        try:
            return [
                replace(fit, model=fit.again(screened(whole_of(panel, fit.problem, target))[0]))
                for fit, target in zip(fits, self.targets, strict=True)
            ]
        except KeyboardInterrupt:
            return None

    def export(self, fits: Sequence[_Fit], out: Path, *, refit: bool = False) -> Manifest:
        """Write the bundle of all targets to `out`.
        A custom family is held to the invariants first."""
        channels, limit = self.panel.channels, self.recipe.row_limit
        model = joined([fit.model for fit in fits], self.targets, channels)
        identity = Identity(
            self.recipe.name or model.family,
            channels or UNNAMED,
            self.targets,
            training=self._record(fits, refit),
            codes=codes_of(self.panel),
            night=night_share(self.panel.fed, model.target.season_steps),
        )
        if isinstance(model, Joint) or not is_custom(self.recipe.family):
            return export_bundle(model, identity, out, row_limit=limit)
        custom = load_custom(self.recipe.family)
        check_invariants(custom, model, limit)
        with custom.at("when it is exported"):
            manifest = export_bundle(model, identity, out, row_limit=limit)
            onnx_is_torch(model, out)
        return manifest

    def _record(self, fits: Sequence[_Fit], refit: bool) -> TrainingRecord:
        panel, (fitted_on, split) = self.panel, self.fitted_on
        seen = panel if refit else fitted_on.rows(0, split.validation_end)
        before, start, end = times_of(panel, self.split)
        held = np.concatenate([fit.held for fit in fits], 1)
        names = [name for target in self.targets for name in series_of(panel, target)]
        held = unmoved(held, [panel.streams.index(name) for name in names], fitted_on, panel)
        return TrainingRecord(
            fingerprint=fingerprint(panel),
            streams=len(panel.streams) // panel.width,
            observations=seen.observations,
            end_time_ms=int(panel.timestamps[-1]) if refit else before,
            seconds=round(time.monotonic() - self.started, 3),
            choice="; ".join(fit.choice for fit in fits if fit.choice),
            narrow=self._narrow(seen, fits[0].model.span),
            suspects=suspects_note(held, names, panel.timestamps),
            refit=refit,
            holdout_start_ms=start,
            holdout_end_ms=end,
        )

    def _narrow(self, seen: Panel, span: int) -> str:
        """The reason if the history is narrow, as it is if that of every target is; else empty."""
        rows = [
            [seen.streams.index(name) for name in series_of(seen, target)]
            for target in self.targets
        ]
        found = [narrow_note(seen.values[own], span) for own in rows]
        return found[0] if all(found) else ""


def _fit(problem: Problem, recipe: Recipe, plan: Plan) -> _Fit:
    problem, held = screened(problem)
    if recipe.family != AUTO:
        again = partial(fit_family, recipe.family, plan=plan)
        return _Fit(problem, held, again(problem), "", again)
    candidates = fit_auto(problem, plan, recipe.budget_s)
    return _Fit(problem, held, candidates[0].model, reason(candidates), candidates[0].again)


def _plan(recipe: Recipe, report: TrainingProgress) -> Plan:
    """The plan of a recipe: schedules of the families with the recipe's seed and epochs."""

    device = str(device_of(recipe.device))

    def schedule(family: str) -> Schedule:
        known = load_custom(family).schedule if is_custom(family) else schedule_of(family)
        own = replace(known, seed=recipe.seed, device=device)
        return own if recipe.epochs is None else replace(own, epochs=recipe.epochs)

    return Plan(recipe.lags, recipe.iterated, recipe.linear_path, recipe.members, schedule, report)
