"""The trainer's commands. Only typer is imported here: torch and polars come when a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from service.bundle import MANIFEST
from service.commands.data_options import Data, Operators, Reading
from service.commands.expand import expand_options
from service.errors import DataError
from service.options import listed

if TYPE_CHECKING:
    from rich.console import Console

    from service.bundle import Manifest
    from service.history import History, ReadOptions
    from service.sealing.trust import Trust
    from training.data.panel import Panel, Split
    from training.evaluation.metrics import Figure

PROTOCOL_NAMES = (
    "rolling, ltsf, online, gift or book"  # training.evaluation.protocols.PROTOCOLS, without importing numpy
)
Season = Annotated[
    str | None,
    typer.Option(help="Length of the season, for example 24h; none = no season.", show_default="the bundle's"),
]
TrainSeason = Annotated[
    str | None,
    typer.Option(help="One or two lengths, as 24h or 24h,7d; auto = found in the train part; none = no season."),
]
NoSeason = Annotated[bool, typer.Option("--no-season", help="The same as --season none.")]
_SPLIT = "Train, validation, hold-out: rows (8640,2880,2880) or shares (.7,.1,.2)."
SplitOption = Annotated[str | None, typer.Option("--split", help=_SPLIT, show_default=".7,.1,.2")]
JudgedSplit = Annotated[str | None, typer.Option("--split", help=_SPLIT, show_default="the protocol's")]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory that `eddycast train` wrote.")]


@expand_options
def train(
    data: Data,
    reading: Reading,
    out: Annotated[Path, typer.Option(help="The bundle's directory, which is made.")],
    family: Annotated[
        str,
        typer.Option(
            help="naive, seasonal_naive, ar, rnn, gru, lstm, dilated_gru, seq2seq, mix, auto; or FILE.py:CLASS."
        ),
    ] = "lstm",
    interval: Annotated[
        str | None, typer.Option(help="The model's grid, for example 1h.", show_default="found in DATA")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="Which of the --channels are forecast.", show_default="all")
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="How many (forecast) intervals ahead.")] = 24,
    forecast_interval: Annotated[
        str | None,
        typer.Option(
            help="A coarser grid for the horizon, as 1h: each forecast is of the mean over so long.",
            show_default="the interval",
        ),
    ] = None,
    season: TrainSeason = "auto",
    no_season: NoSeason = False,
    quantiles: Annotated[str, typer.Option(help="Levels; .1, .5 and .9 must be there.")] = ".1,.2,.3,.4,.5,.6,.7,.8,.9",
    split: SplitOption = None,
    lags: Annotated[int, typer.Option(min=2, help="Past values that the linear autoregression reads.")] = 48,
    iterated: Annotated[
        bool, typer.Option("--iterated", help="ar as textbooks have it: lags alone, one step fed back on itself.")
    ] = False,
    no_linear: Annotated[bool, typer.Option("--no-linear", help="A recurrent net alone, without linear path.")] = False,
    members: Annotated[str, typer.Option(help="Whose quantiles mix averages.")] = "lstm,dilated_gru",
    budget: Annotated[str | None, typer.Option(help="auto begins no further family after so long, as 60s.")] = None,
    no_calibration: Annotated[
        bool, typer.Option("--no-calibration", help="Intervals keep the widths found in training on every stream.")
    ] = False,
    kind: Annotated[
        str | None,
        typer.Option(
            help="gauge, or counter: a meter that only rises; its increases are forecast.", show_default="gauge"
        ),
    ] = None,
    register: Annotated[
        str | None,
        typer.Option(help="Where counters start again: 65536, or none for resets alone; found if not given."),
    ] = None,
    support: Annotated[
        str | None,
        typer.Option(help="Values of a forecast: real, nonnegative or integer.", show_default="found in DATA"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same model.")] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many rounds, with a look at the validation part after each.", show_default="10"
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores to train on.")] = 1,
    name: Annotated[str | None, typer.Option(help="How records name the model.", show_default="its family")] = None,
    row_limit: Annotated[int, typer.Option(min=1, help="Most bytes of state a stream.")] = 16_384,
    no_refit: Annotated[
        bool, typer.Option("--no-refit", help="Keep the weights that were scored, which saw nothing of the hold-out.")
    ] = False,
) -> None:
    """Learn a forecaster from history, score it on the hold-out, fit it once more on everything, and export it."""
    from rich.console import Console

    from training.bundle_directory import check_replaceable
    from training.data.counters import as_counters, check_kind, counter_remark, parse_register
    from training.data.interval import choose_interval
    from training.data.panel import Split, format_duration, format_seasons, make_panel, parse_duration, parse_seasons
    from training.data.seasons import find_seasons
    from training.evaluation.report import figures_table, weights_remark
    from training.progress import training_bar
    from training.train import Recipe, check_family, check_name, train_bundle

    console = Console(highlight=False)
    check_family(family)
    check_name(name)
    check_kind(kind or "gauge")
    check_replaceable(out)
    history = _history(data, reading)
    interval_ms, said = choose_interval(history, interval)
    panel = make_panel(history, interval_ms)
    for note in (*panel.notes, *said):
        console.print(f"note: {escape(note)}")
    cut = Split.parse(split, len(panel))
    if kind is None and (remark := counter_remark(panel.rows(0, cut.train_end))):
        console.print(f"note: {escape(remark)}")
    if kind == "counter":
        size, remark = parse_register(register, panel.rows(0, cut.validation_end))
        if remark:
            console.print(f"note: {remark}")
        panel = as_counters(panel, size)
    if season == "auto" and not no_season:
        found = find_seasons(panel.values[:, : cut.train_end].T)
        season = ",".join(format_duration(steps * panel.interval_ms) for steps in found) or None
    seasons = parse_seasons(None if no_season else season, panel.interval_ms)
    console.print(f"note: {format_seasons(seasons)}")
    recipe = Recipe(
        family=family,
        horizon=horizon,
        forecast_interval_ms=parse_duration(forecast_interval) if forecast_interval else None,
        season_ms=seasons[0] if seasons else None,
        second_season_ms=seasons[1] if len(seasons) > 1 else None,
        quantiles=parse_quantiles(quantiles),
        lags=lags,
        iterated=iterated,
        linear_path=not no_linear,
        members=listed(members),
        budget_s=parse_duration(budget) / 1000 if budget else None,
        calibrated=not no_calibration,
        support=support,
        seed=seed,
        epochs=epochs,
        threads=threads,
        row_limit=row_limit,
        name=name,
        targets=listed(targets or ""),
    )
    if (out / MANIFEST).is_file():
        console.print(f"note: the bundle in {escape(str(out))} is replaced")
    with training_bar(console, f"training {family}; then the bundle is scored on the hold-out") as report:
        manifest, figures = train_bundle(panel, recipe, cut, out, report, refit=not no_refit)
    for remark in _training_notes(manifest, panel, told=support is not None):
        console.print(f"note: {escape(remark)}")
    console.print(figures_table(figures, "rolling", title=f"hold-out, {format_seasons(manifest.seasons_ms)}"))
    for rival in beaten_by(figures, manifest.name):
        console.print(f"[bold]warning:[/bold] on the hold-out {rival} has the smaller error: more history, a season?")
    console.print(f"note: {weights_remark(manifest)}")
    seconds = manifest.training.seconds if manifest.training else 0.0
    console.print(
        f"{manifest.label} in {escape(str(out))}: {manifest.row_bytes:,} bytes a stream, trained in {seconds:.1f} s"
    )


def _training_notes(manifest: Manifest, panel: Panel, *, told: bool) -> list[str]:
    """What training found in the history. `told`: the support was given."""
    from training.data.gaps import gap_note

    notes = [manifest.training.choice, manifest.training.suspects] if manifest.training else []
    notes.append(gap_note(panel.fed, manifest.warmup_steps // 2, manifest.max_gap) or "")
    if not told and manifest.kind != "counter" and manifest.support != "real":
        notes.append("values are often 0 and never below: no forecast is below 0, unless told --support real")
    return [note for note in notes if note]


@expand_options
def backtest(
    bundle: Bundle,
    data: Data,
    reading: Reading,
    protocol: Annotated[str, typer.Option(help=f"{PROTOCOL_NAMES}; or several, comma between.")] = "rolling",
    split: JudgedSplit = None,
    season: Season = None,
    horizons: Annotated[
        str | None, typer.Option(help="Horizons to score, comma between.", show_default="the bundle's")
    ] = None,
    per_stream: Annotated[bool, typer.Option("--per-stream", help="A row for each stream as well.")] = False,
    operators: Operators = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a page with pictures here, HTML, and them beside it.")
    ] = None,
) -> None:
    """Score an exported bundle through the service's own engine, beside last value and seasonal naive."""
    from rich.console import Console

    from service.model.manifest_file import read_manifest
    from service.sealing.trust import Trust
    from service.writing import check_writable, written_to
    from training.data.panel import Split, parse_season
    from training.evaluation import backtest as judging
    from training.evaluation.plot import require_matplotlib
    from training.evaluation.protocols import protocol_of
    from training.evaluation.report import figures_table, remarks, results, seen_remark, write_json
    from training.progress import scoring_bar

    console = Console(highlight=False)
    if plot:
        require_matplotlib()
    for target in filter(None, (json, plot and plot.with_suffix(".html"))):
        check_writable(target)
    trust = Trust.allowing(operators)
    manifest = read_manifest(bundle)
    history = _history(data, reading, manifest)
    season_ms = parse_season(season, manifest.interval_ms)
    leads = _horizons(horizons)
    contents = []
    for one in listed(protocol) or ["rolling"]:
        panel = protocol_of(one).panel(history, manifest)
        cut = Split.parse(split, len(panel)) if split else None
        with scoring_bar(console, f"{one}: {len(panel):,} rows, {len(panel.streams)} streams") as report:
            figures = judging.backtest(
                bundle,
                panel,
                one,
                cut,
                horizons=leads,
                season_ms=season_ms,
                per_stream=per_stream,
                report=report,
                trust=trust,
            )
        console.print(figures_table(figures, one, title=f"{manifest.label} on {Path(data[0]).name}"))
        for line in remarks(figures, one):
            console.print(escape(line))
        content = results(one, " ".join(data), figures)
        if remark := seen_remark(manifest, panel, cut or Split.parse(protocol_of(one).split, len(panel))):
            console.print(f"[bold]warning:[/bold] {remark}")
            content["seen"] = remark
        contents.append(content)
    if json:
        with written_to(json):
            write_json(json, contents[0] if len(contents) == 1 else {"protocols": contents})
    if plot:
        with written_to(plot):
            _write_html_report(console, plot, bundle, panel, one, cut, leads, season_ms, trust)


def demo(
    kafka: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Over a real Kafka, in processes.")] = None,
    out: Annotated[Path, typer.Option(help="Where the bundle, the figures and the picture go.")] = Path("build/demo"),
    data: Annotated[str, typer.Option(metavar="DATA", help="A file of history in place of the sample.")] = (
        "sample:sensors"
    ),
    family: Annotated[str, typer.Option(help="As for train.")] = "lstm",
    seconds: Annotated[float, typer.Option(min=1, help="The hold-out passes in about this time.")] = 45.0,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of /metrics meanwhile; 0 = any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed, the same model.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most so many passes; fewer are quicker.", show_default="10")
    ] = None,
) -> None:
    """The whole job on real sensor data: learn, publish, stream, forecast, and judge beside naive forecasts."""
    from training.demo import run_demo

    run_demo(kafka=kafka, out=out, source=data, family=family, seconds=seconds, port=port, seed=seed, epochs=epochs)


def _write_html_report(
    console: Console,
    path: Path,
    bundle: Path,
    panel: Panel,
    protocol: str,
    split: Split | None,
    horizons: Sequence[int] | None,
    season_ms: int | None,
    trust: Trust,
) -> None:
    """The page of one protocol, `path` with the ending .html."""
    from training.data.panel import Split
    from training.evaluation.html_report import write_html_report
    from training.evaluation.protocols import protocol_of
    from training.progress import scoring_bar

    cut = split or Split.parse(protocol_of(protocol).split, len(panel))
    with scoring_bar(console, "pictures") as report:
        page = path.with_suffix(".html")
        pictures = write_html_report(
            page, bundle, panel, protocol, cut, horizons=horizons, season_ms=season_ms, report=report, trust=trust
        )
    console.print(f"pictures: {page}, {', '.join(picture.name for picture in pictures)}", markup=False)


def _history(data: Sequence[str], reading: ReadOptions, manifest: Manifest | None = None) -> History:
    """DATA as a history, for a bundle if there is one; `book:SEED` is drawn."""
    from service.history import read_for_bundle, read_history
    from training.evaluation.protocols.book import PREFIX, read_book

    name = " ".join(data)
    if name.startswith(PREFIX):
        return read_book(name)
    return read_for_bundle(data, reading, manifest) if manifest else read_history(data, reading)


def _horizons(text: str | None) -> list[int] | None:
    """`24,96` as numbers; None if not given. Raises DataError."""
    try:
        horizons = [int(word) for word in listed(text or "")]
    except ValueError:
        horizons = [0]
    if any(horizon < 1 for horizon in horizons):
        raise DataError(f"--horizons {text!r} are not numbers of intervals", "for example 24,96")
    return horizons or None


def beaten_by(figures: Sequence[Figure], model: str) -> list[str]:
    """The baselines whose mean absolute error over the horizon is smaller than the model's."""
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
