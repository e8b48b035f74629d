"""Options of `eddycast retrain`, and the recipe that follows from them and from the champion.
Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final

from eddycast.service.bundle import Manifest
from eddycast.service.durations import parse_duration
from eddycast.service.errors import DataError
from eddycast.service.history.history import UNNAMED
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.service.settings.cli_option import Option
from eddycast.training.data.durations import parse_seasons
from eddycast.training.data.options import PanelOptions
from eddycast.training.recipe import Recipe, parse_budget, parse_quantiles

AS_CHAMPION: Final = "as-champion"
PROMOTE: Final = ("if-better", "never", "always")
AUTO: Final = "auto"
REQUIRE: Final = ("published", "promoted")
_HOUR_MS: Final = 3_600_000


def parse_gain(text: str) -> float:
    """`1%` or `.01` as a share. Raises DataError."""
    plain = text.strip()
    try:
        gain = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        gain = -1.0
    if not 0 <= gain < 1:
        raise DataError(f"--min-gain {text!r} is not a share", "for example 1% or .01")
    return gain


@dataclass(frozen=True)
class JobOptions:
    """Conditions of training, judging and promoting. Raises DataError for an unknown word."""

    window_ms: Annotated[
        int,
        Option(
            "Train on this much of the latest history.", ("--window",), parse=parse_duration,
            shown_default="365d",
        ),
    ] = 365 * 24 * _HOUR_MS  # fmt: skip
    train_every_ms: Annotated[
        int,
        Option(
            "Train only if the history has grown by this much since the last training.",
            ("--train-every",), parse=parse_duration, shown_default="20h",
        ),
    ] = 20 * _HOUR_MS  # fmt: skip
    decide_after_ms: Annotated[
        int,
        Option(
            "Judge a candidate on this much history after its training, but on ten blocks of "
            "horizon and season at least; fixed when it is published.",
            ("--decide-after",), parse=parse_duration, shown_default="14d",
        ),
    ] = 14 * 24 * _HOUR_MS  # fmt: skip
    promote: Annotated[
        str,
        Option(
            "if-better: judge candidates and promote those that prove better; never: judge and "
            "report alone; always: promote what was trained at once, without any proof."
        ),
    ] = PROMOTE[0]
    min_gain: Annotated[
        float, Option("Least gain of a candidate.", parse=parse_gain, shown_default="1%")
    ] = 0.01
    strict: Annotated[
        bool, Option("Refuse to train if the checks of the data find anything.", ("--strict",))
    ] = False
    require: Annotated[
        str | None,
        Option("Exit with code 3 unless a version was `published`, or one was `promoted`."),
    ] = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("promote", self.promote, PROMOTE),
            ("require", self.require or REQUIRE[0], REQUIRE),
        ):
            if value not in known:
                raise DataError(f"--{name} {value!r} is not known", f"choose {', '.join(known)}")


@dataclass(frozen=True)
class Wishes:
    """Choices about the model. None = as the champion, or as `eddycast train` without one."""

    family: Annotated[
        str | None,
        Option(
            "as-champion, auto, or a family of `eddycast train`.", ("--families",),
            shown_default=AS_CHAMPION,
        ),
    ] = None  # fmt: skip
    horizon: Annotated[
        int | None,
        Option("Number of intervals to forecast.", min=1, shown_default="the champion's"),
    ] = None
    forecast_interval_ms: Annotated[
        int | None,
        Option(
            "Forecast means over this interval.", ("--forecast-interval",), parse=parse_duration,
            shown_default="the champion's",
        ),
    ] = None  # fmt: skip
    seasons_ms: Annotated[
        tuple[int, ...] | None,
        Option(
            "One or two seasons; auto = detect them, none = no season.", ("--season",),
            parse=parse_seasons, shown_default="the champion's",
        ),
    ] = None  # fmt: skip
    quantiles: Annotated[
        tuple[float, ...] | None,
        Option("Levels to forecast.", parse=parse_quantiles, shown_default="the champion's"),
    ] = None
    targets: Annotated[
        tuple[str, ...] | None,
        Option("Forecast only these of the --channels.", shown_default="the champion's"),
    ] = None
    lags: Annotated[
        int | None,
        Option("Past values that the autoregression reads.", min=2, shown_default="the champion's"),
    ] = None
    support: Annotated[
        str | None, Option("real, nonnegative or integer.", shown_default="the champion's")
    ] = None
    budget_s: Annotated[
        float | None,
        Option(
            "Start no further family of auto after this time.", ("--budget",), parse=parse_budget
        ),
    ] = None
    seed: Annotated[int | None, Option("Seed of the random numbers.")] = None
    epochs: Annotated[int | None, Option("Maximum number of epochs.", min=1)] = None
    threads: Annotated[int | None, Option("Number of cores to train on.", min=1)] = None
    device: Annotated[str | None, Option("cpu, cuda or auto.")] = None
    name: Annotated[
        str | None, Option("Name of the model in records.", shown_default="the champion's")
    ] = None


def told(wishes: Wishes) -> dict[str, Any]:
    """The choices that were made."""
    return {
        each.name: value
        for each in fields(wishes)
        if (value := getattr(wishes, each.name)) is not None and value != AS_CHAMPION
    }


def recipe_of(
    champion: Manifest | None, stored: Mapping[str, Any] | None, wishes: Wishes
) -> Recipe:
    """The recipe of the next model: the champion's, as it was `stored` or else as its manifest
    tells it, with the wishes in place of it."""
    recipe = Recipe() if stored is None else Recipe(**_tuples(stored))
    if champion is not None:
        recipe = resolved(recipe, champion)
    return replace(recipe, **told(wishes))


def resolved(recipe: Recipe, manifest: Manifest) -> Recipe:
    """A recipe with the choices that its training made, as the manifest tells them."""
    family = AUTO if "+" in manifest.family else manifest.family
    return replace(
        recipe,
        family=recipe.family if ":" in recipe.family else family,
        horizon=manifest.horizon,
        forecast_interval_ms=manifest.forecast_interval_ms,
        seasons_ms=manifest.seasons_ms,
        quantiles=manifest.quantiles,
        targets=() if manifest.channels == UNNAMED else manifest.targets,
        support=manifest.support,
        calibrated=any(part.name == "calibration" for part in manifest.row_parts),
        name=None if manifest.name == manifest.family else manifest.name,
    )


def grid_of(champion: Manifest | None, asked: PanelOptions) -> PanelOptions:
    """The grid and kind of the next model: the champion's, unless told."""
    if champion is None:
        return asked
    register = "none" if champion.register_size is None else str(champion.register_size)
    return replace(
        asked,
        interval=asked.interval or f"{champion.interval_ms}ms",
        count=asked.count or champion.count_channel,
        aggregate=asked.aggregate or aggregate_of(champion),
        kind=asked.kind or champion.kind,
        register=asked.register or register,
    )


def aggregate_of(manifest: Manifest) -> Aggregate | None:
    """The aggregate of the readings that a model was trained on."""
    return manifest.training.aggregate if manifest.training else None


def _tuples(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
