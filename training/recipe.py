"""The recipe of a bundle: every choice that a user makes about the model, declared once.

`Recipe` is the argument of `eddycast.training.train.train_bundle`, and its fields are options of
`eddycast train`. Nothing heavy is imported here, so that --help needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from eddycast.service.durations import parse_duration
from eddycast.service.errors import DataError
from eddycast.service.settings.cli_option import Option
from eddycast.training.data.durations import parse_seasons


def parse_quantiles(text: str) -> tuple[float, ...]:
    """`.1,.5,.9` as rising numbers. Raises DataError for a level outside (0, 1), and without .1,
    .5 or .9."""
    try:
        levels = sorted({float(part) for part in text.split(",")})
    except ValueError:
        levels = []
    if (
        not levels
        or not all(0 < level < 1 for level in levels)
        or not {0.1, 0.5, 0.9} <= set(levels)
    ):
        raise DataError(
            f"--quantiles {text!r} are not levels between 0 and 1 with .1, .5 and .9 among them",
            "for example .1,.5,.9",
        )
    return tuple(levels)


def parse_budget(text: str) -> float:
    """`60s` in seconds. Raises DataError."""
    return parse_duration(text) / 1000


@dataclass(frozen=True)
class Recipe:
    """The model to train. Lengths of time are in ms, `budget_s` in seconds."""

    family: Annotated[
        str,
        Option(
            "naive, seasonal_naive, ar, rnn, gru, lstm, "
            "dilated_gru, seq2seq, mix, auto; or FILE.py:CLASS."
        ),
    ] = "lstm"
    horizon: Annotated[int, Option("Number of (forecast) intervals to forecast.", min=1)] = 24
    forecast_interval_ms: Annotated[
        int | None,
        Option(
            "Forecast means over this interval instead of values, for example 1h.",
            ("--forecast-interval",),
            parse=parse_duration,
            shown_default="the interval",
        ),
    ] = None
    seasons_ms: Annotated[
        tuple[int, ...] | None,
        Option(
            "One or two seasons, for example 24h or 24h,7d; auto "
            "= detect them in the train part; none = no season.",
            ("--season",),
            parse=parse_seasons,
            shown_default="auto",
        ),
    ] = None
    quantiles: Annotated[
        tuple[float, ...],
        Option("Levels to forecast; .1, .5 and .9 must be among them.", parse=parse_quantiles),
    ] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    targets: Annotated[
        tuple[str, ...],
        Option(
            "Forecast only these of the --channels; separate them by commas.", shown_default="all"
        ),
    ] = ()
    lags: Annotated[
        int, Option("Number of past values that the linear autoregression reads.", min=2)
    ] = 48
    iterated: Annotated[
        bool,
        Option(
            "Fit ar as in textbooks: lags alone, one step ahead, fed back on itself.",
            ("--iterated",),
        ),
    ] = False
    linear_path: Annotated[
        bool,
        Option(
            "Train a recurrent family alone, without the linear autoregression beneath.",
            (" /--no-linear",),
            shown_default="off",
        ),
    ] = True
    members: Annotated[tuple[str, ...], Option("Families whose quantiles mix averages.")] = (
        "lstm",
        "dilated_gru",
    )
    budget_s: Annotated[
        float | None,
        Option(
            "Start no further family of auto after this time, for example 60s.",
            ("--budget",),
            parse=parse_budget,
        ),
    ] = None
    calibrated: Annotated[
        bool,
        Option(
            "Keep the trained widths of intervals instead of adapting them on each stream.",
            (" /--no-calibration",),
            shown_default="off",
        ),
    ] = True
    support: Annotated[
        str | None,
        Option(
            "Values that a forecast may take: real, nonnegative or integer.",
            shown_default="detected in DATA",
        ),
    ] = None
    seed: Annotated[
        int,
        Option(
            "Seed of the random numbers; the same seed trains the same model on as many --threads."
        ),
    ] = 0
    epochs: Annotated[
        int | None,
        Option("Maximum number of epochs; validation runs after each.", min=1, shown_default="10"),
    ] = None
    threads: Annotated[
        int | None,
        Option(
            "Number of cores to train on.",
            min=1,
            shown_default="all that the process may use",
        ),
    ] = None
    device: Annotated[
        str,
        Option("Where gradients are computed: cpu, cuda, or auto, which is cuda if torch sees it."),
    ] = "auto"
    name: Annotated[
        str | None, Option("Name of the model in records.", shown_default="its family")
    ] = None
    row_limit: Annotated[
        int, Option("Maximum size of a stream's state, in bytes per target.", min=1)
    ] = 16_384

    @property
    def season_ms(self) -> int | None:
        """The first season; None without one, and while it is not detected yet."""
        return self.seasons_ms[0] if self.seasons_ms else None

    @property
    def second_season_ms(self) -> int | None:
        """The second, longer season; None without one."""
        return self.seasons_ms[1] if self.seasons_ms and len(self.seasons_ms) > 1 else None
