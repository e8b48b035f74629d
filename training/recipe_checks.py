"""Checks of a recipe against itself and against a panel, before anything is fitted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.humanize import many
from eddycast.service.sealing.manifest_types import MODEL_NAME
from eddycast.training.data.checks import check_panel
from eddycast.training.data.durations import check_season
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.fitting.custom_family import is_custom, load_custom
from eddycast.training.fitting.families import FAMILIES
from eddycast.training.problems import targets_of
from eddycast.training.recipe import Recipe


def check_family(family: str) -> None:
    """Raises DataError for an unknown family, FamilyError for a custom one that cannot be
    loaded."""
    if is_custom(family):
        load_custom(family)
    elif family not in FAMILIES:
        raise DataError(
            f"there is no family {family!r}",
            f"choose one of {', '.join(FAMILIES)}, or FILE.py:CLASS",
        )


def check_name(name: str | None) -> None:
    """Raises DataError for a name that no bundle may have."""
    if name is not None and not re.fullmatch(MODEL_NAME, name):
        raise DataError(
            f"--name {name!r} cannot name a model",
            "up to 64 letters, digits, spaces and any of . : + - _",
        )


def check_targets(targets: Sequence[str], channels: Sequence[str]) -> None:
    """Raises DataError for a target that is no channel, or is named twice."""
    for target in targets:
        if target not in channels or targets.count(target) > 1:
            problem = "is named twice" if target in channels else "is not among the channels"
            hint = (
                f"the channels are {', '.join(channels)}"
                if channels
                else "name the channels with --channels"
            )
            raise DataError(f"target {target!r} {problem}", hint)


def check_recipe(panel: Panel, recipe: Recipe, split: Split) -> None:
    """Raises DataError for a recipe that contradicts itself or cannot be trained on the panel."""
    check_family(recipe.family)
    _check_family_options(panel, recipe)
    check_targets(recipe.targets, panel.channels)
    stride = _check_grid(panel, recipe)
    if recipe.lags > max(split.train_end, Recipe.lags):
        rows = many(split.train_end, "row")
        raise DataError(
            f"--lags {recipe.lags} are more than the {rows} of the train part", "give fewer"
        )
    for target in targets_of(panel, recipe):
        judged = panel.only([target]) if panel.channels else panel
        check_panel(
            judged, recipe.horizon * stride, recipe.second_season_ms or recipe.season_ms, split
        )


def _check_family_options(panel: Panel, recipe: Recipe) -> None:
    """Raises DataError for options that the family or the kind of the streams does not have."""
    if recipe.iterated and recipe.family != "ar":
        raise DataError(f"{recipe.family} is not iterated", "give --family ar with --iterated")
    if recipe.family == "seasonal_naive" and not recipe.season_ms:
        raise DataError("seasonal_naive needs a season", "name one with --season, for example 24h")
    if recipe.iterated and panel.channels:
        raise DataError(
            "an iterated autoregression reads one channel", "leave out --iterated or --channels"
        )
    if panel.kind == "counter" and panel.channels:
        raise DataError("a counter has one channel", "leave out --channels, or --kind counter")
    if is_custom(recipe.family) and panel.channels:
        raise DataError(
            "a custom family reads one channel", "leave out --channels, or choose a built-in family"
        )


def _check_grid(panel: Panel, recipe: Recipe) -> int:
    """Intervals of the panel in one forecast interval.
    Raises DataError if those or a season do not fit the grid."""
    for season_ms in recipe.seasons_ms or ():
        check_season(season_ms, panel.interval_ms)
    coarse = recipe.forecast_interval_ms or panel.interval_ms
    if coarse % panel.interval_ms:
        raise DataError(
            f"a forecast interval of {format_duration(coarse)} is not a whole number of intervals "
            f"of {format_duration(panel.interval_ms)}",
            "change --forecast-interval",
        )
    return coarse // panel.interval_ms
