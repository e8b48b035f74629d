"""The trainer's commands. Only typer is imported here: torch and polars come when a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.bundle import MANIFEST
from service.commands.data_options import Source, listed, reads_data
from service.errors import DataError

if TYPE_CHECKING:
    from service.history import History
    from training.data import Panel
    from training.metrics import Figure

Season = Annotated[str | None, typer.Option(help="Length of the season, for example 24h; none = no season.")]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="Train, validation, hold-out: rows (8640,2880,2880) or shares (.7,.1,.2).")
]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory that `eddycast train` wrote.")]


@reads_data
def train(
    source: Source,
    out: Annotated[Path, typer.Option(help="The bundle's directory, which is made.")],
    family: Annotated[str, typer.Option(help="naive, seasonal_naive, ar, rnn, gru or lstm.")] = "lstm",
    interval: Annotated[str | None, typer.Option(help="The model's grid, for example 1h; found if not given.")] = None,
    horizon: Annotated[int, typer.Option(min=1, help="How many intervals ahead.")] = 24,
    season: Season = None,
    quantiles: Annotated[str, typer.Option(help="Levels; .1, .5 and .9 must be there.")] = ".1,.2,.3,.4,.5,.6,.7,.8,.9",
    split: SplitOption = None,
    lags: Annotated[int, typer.Option(min=2, help="Past values that the linear autoregression reads.")] = 48,
    no_linear: Annotated[bool, typer.Option("--no-linear", help="A recurrent net alone, without linear path.")] = False,
    no_calibration: Annotated[
        bool, typer.Option("--no-calibration", help="Intervals keep the widths found in training on every stream.")
    ] = False,
    support: Annotated[
        str | None, typer.Option(help="Values of a forecast: real, nonnegative or integer; found if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same model.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many passes; 10 if not given.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores to train on.")] = 1,
    name: Annotated[str | None, typer.Option(help="How records name the model; its family if not given.")] = None,
    row_limit: Annotated[int, typer.Option(min=1, help="Most bytes of state a stream.")] = 16_384,
) -> None:
    """Learn a forecaster from history, export it as a bundle, and score the bundle on the hold-out."""
    from rich.console import Console

    from training.data import Split, parse_season
    from training.progress import training_bar
    from training.report import figures_table
    from training.train import Recipe, train_bundle

    console = Console(highlight=False)
    panel = _panel(source.read(), interval)
    for note in panel.notes:
        console.print(f"note: {note}")
    recipe = Recipe(
        family=family,
        horizon=horizon,
        season_ms=parse_season(season, panel.interval_ms),
        quantiles=parse_quantiles(quantiles),
        lags=lags,
        linear_path=not no_linear,
        calibrated=not no_calibration,
        support=support,
        seed=seed,
        epochs=epochs,
        threads=threads,
        row_limit=row_limit,
        name=name,
    )
    cut = Split.parse(split, len(panel))
    if (out / MANIFEST).is_file():
        console.print(f"note: the bundle in {out} is replaced")
    with training_bar(console, f"training {family}; then the bundle is scored on the hold-out") as report:
        manifest, figures = train_bundle(panel, recipe, cut, out, report)
    if support is None and manifest.support != "real":
        console.print("note: values are often 0 and never below: no forecast is below 0, unless told --support real")
    console.print(figures_table(figures, "rolling"))
    for rival in beaten_by(figures, manifest.name):
        console.print(f"[bold]warning:[/bold] on the hold-out {rival} has the smaller error: more history, a season?")
    seconds = manifest.training.seconds if manifest.training else 0.0
    console.print(f"{manifest.label} in {out}: {manifest.row_bytes:,} bytes a stream, trained in {seconds:.1f} s")


@reads_data
def backtest(
    bundle: Bundle,
    source: Source,
    protocol: Annotated[str, typer.Option(help="rolling, ltsf, or both with a comma.")] = "rolling",
    split: SplitOption = None,
    season: Season = None,
    horizons: Annotated[
        str | None, typer.Option(help="Horizons to score, comma between; the bundle's if not given.")
    ] = None,
    per_stream: Annotated[bool, typer.Option("--per-stream", help="A row for each stream as well.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture of the forecasts here (PNG).")] = None,
) -> None:
    """Score an exported bundle through the service's own engine, beside last value and seasonal naive."""
    from rich.console import Console

    from service.bundle import read_manifest
    from training import backtest as judging
    from training.data import Split, make_panel, parse_season
    from training.report import figures_table, results, write_json

    console = Console(highlight=False)
    manifest = read_manifest(bundle)
    panel = make_panel(source.read(), manifest.interval_ms, manifest.max_gap)
    cut = Split.parse(split, len(panel))
    season_ms = parse_season(season, manifest.interval_ms)
    leads = [int(lead) for lead in listed(horizons) or []] or None
    contents = []
    for one in listed(protocol) or ["rolling"]:
        figures = judging.backtest(bundle, panel, one, cut, horizons=leads, season_ms=season_ms, per_stream=per_stream)
        console.print(figures_table(figures, one, title=f"{manifest.label} on {Path(source.data).name}"))
        contents.append(results(one, source.data, figures))
    if json:
        write_json(json, contents[0] if len(contents) == 1 else {"protocols": contents})
    if plot:
        from training.plot import plot_forecasts

        plot_forecasts(plot, bundle, panel, cut)


def demo(
    kafka: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Over a real Kafka, in processes.")] = None,
    out: Annotated[Path, typer.Option(help="Where the bundle, the figures and the picture go.")] = Path("build/demo"),
    data: Annotated[str, typer.Option(metavar="DATA", help="A file of history in place of the sample.")] = (
        "sample:sensors"
    ),
    family: Annotated[str, typer.Option(help="naive, seasonal_naive, ar, rnn, gru or lstm.")] = "lstm",
    seconds: Annotated[float, typer.Option(min=1, help="The hold-out passes in about this time.")] = 45.0,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of /metrics meanwhile; 0 = any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed, the same model.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many passes; fewer are quicker.")] = None,
) -> None:
    """The whole job on real sensor data: learn, publish, stream, forecast, and judge beside naive forecasts."""
    from training.demo import run_demo

    run_demo(kafka=kafka, out=out, source=data, family=family, seconds=seconds, port=port, seed=seed, epochs=epochs)


def _panel(history: History, interval: str | None) -> Panel:
    """The history on the grid of `interval`, or of its own commonest distance. Raises DataError for a finer grid."""
    from training.data import format_duration, infer_interval, make_panel, parse_duration

    apart = infer_interval(history)
    interval_ms = parse_duration(interval) if interval else apart
    if interval_ms < apart:
        raise DataError(
            f"most readings are {format_duration(apart)} apart, --interval {interval} is finer",
            f"give --interval {format_duration(apart)} or longer",
        )
    return make_panel(history, interval_ms)


def beaten_by(figures: Sequence[Figure], model: str) -> list[str]:
    """The yardsticks whose mean absolute error over the horizon is smaller than the model's."""
    longest = max(figure.horizon for figure in figures)
    errors = {figure.model: figure.mae for figure in figures if figure.horizon == longest and figure.stream is None}
    own = errors.pop(model, None)
    return [rival for rival, error in errors.items() if own is not None and error is not None and error < own]


def parse_quantiles(text: str) -> tuple[float, ...]:
    """`.1,.5,.9` as numbers, sorted. Raises DataError."""
    try:
        levels = sorted({float(part) for part in text.split(",")})
    except ValueError:
        levels = []
    if not levels or not all(0 < level < 1 for level in levels) or not {0.1, 0.5, 0.9} <= set(levels):
        raise DataError(f"--quantiles {text!r} are not levels between 0 and 1 with .1, .5 and .9 among them", "")
    return tuple(levels)
