"""`eddycast backtest`: a bundle scored on history, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from eddycast.service.commands.data_options import AsTrained, Data, Operators, Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.errors import DataError
from eddycast.service.humanize import table_width
from eddycast.service.settings.cli_option import listed
from eddycast.training.commands.bundle_argument import Bundle
from eddycast.training.data.options import SPLIT_HELP

if TYPE_CHECKING:
    from rich.console import Console

    from eddycast.service.bundle import Manifest
    from eddycast.training.data.panel import Panel
    from eddycast.training.data.split import Split
    from eddycast.training.evaluation.metrics import Figure
    from eddycast.training.retraining.renewing import Renewing

#: Names of eddycast.training.evaluation.protocols.table.PROTOCOLS, which would import numpy.
PROTOCOL_NAMES = "rolling, ltsf, online, gift or book"


@expand_options
def backtest(
    bundle: Bundle,
    data: Data,
    reading: Reading,
    protocol: Annotated[
        str, typer.Option(help=f"{PROTOCOL_NAMES}; separate several by commas.")
    ] = "rolling",
    split: Annotated[
        str | None, typer.Option(help=SPLIT_HELP, show_default="the protocol's")
    ] = None,
    season: Annotated[
        str | None,
        typer.Option(
            help="Length of the season, for example 24h; none = no season.",
            show_default="the bundle's",
        ),
    ] = None,
    horizons: Annotated[
        str | None,
        typer.Option(help="Horizons to score, separated by commas.", show_default="the bundle's"),
    ] = None,
    per_stream: Annotated[
        bool, typer.Option("--per-stream", help="Add a row for each stream.")
    ] = False,
    retrain_every: Annotated[
        str | None,
        typer.Option(
            help="Also score models that replace the bundle in the hold-out, each trained so long "
            "after the one before on all readings before it; for example 7d.",
            show_default="never",
        ),
    ] = None,
    aggregate: AsTrained = None,
    operators: Operators = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Write an HTML report with pictures to this file, the pictures beside it."
        ),
    ] = None,
) -> None:
    """Score an exported bundle with the service's own engine,
    beside last value and seasonal naive.

    Example: eddycast backtest /srv/bundle readings.csv --per-stream
    """
    from rich.console import Console

    from eddycast.service.history import read_for_bundle
    from eddycast.service.history.aggregation import as_trained
    from eddycast.service.history.options import parse_aggregate
    from eddycast.service.model.manifest_file import read_manifest
    from eddycast.service.output_files import written_to
    from eddycast.service.sealing.trust import Trust
    from eddycast.training.data.durations import parse_season
    from eddycast.training.data.split import Split
    from eddycast.training.evaluation import backtest as scoring
    from eddycast.training.evaluation.protocols.table import protocol_for
    from eddycast.training.evaluation.report import results, write_json
    from eddycast.training.progress import scoring_bar

    console = Console(width=table_width(), highlight=False)
    _check_outputs(json, plot)
    trust = Trust.allowing(operators)
    manifest = read_manifest(bundle)
    chosen = parse_aggregate(aggregate) if aggregate else None
    raw = read_for_bundle(data, reading, manifest)
    history = as_trained(raw, manifest, chosen)
    for note in history.notes[len(raw.notes) :]:
        console.print(f"note: {escape(note)}")
    asked: dict[str, Any] = {
        "horizons": parse_horizons(horizons),
        "season_ms": parse_season(season, manifest.interval_ms),
        "trust": trust,
    }
    contents = []
    for name in listed(protocol) or ("rolling",):
        rules = protocol_for(name, manifest)
        panel = rules.panel(history, manifest)
        cut = Split.parse(split or rules.split, len(panel))
        renewing = _renewing(manifest, retrain_every)
        with scoring_bar(
            console, f"{name}: {len(panel):,} rows, {len(panel.streams)} streams"
        ) as report:
            figures = scoring.backtest(
                bundle,
                panel,
                name,
                cut,
                per_stream=per_stream,
                report=report,
                renewal=renewing.renewal if renewing else None,
                **asked,
            )
        _print_figures(console, figures, name, f"{manifest.label} on {Path(data[0]).name}")
        found = results(name, " ".join(data), figures)
        if renewing is not None:
            console.print(renewing.remark())
            found["renewal"] = renewing.facts()
        contents.append(found | _print_seen(console, manifest, panel, cut))
    if json:
        with written_to(json):
            write_json(json, contents[0] if len(contents) == 1 else {"protocols": contents})
    if plot:
        with written_to(plot):
            _write_report(console, plot.with_suffix(".html"), bundle, panel, name, cut, asked)


def _renewing(manifest: Manifest, every: str | None) -> Renewing | None:
    """The trainer of `--retrain-every`, which needs torch; None without it. Raises DataError for
    less than an interval."""
    if every is None:
        return None
    from eddycast.service.durations import parse_duration
    from eddycast.training.retraining.renewing import Renewing

    every_ms = parse_duration(every)
    if every_ms < manifest.interval_ms or every_ms % manifest.interval_ms:
        raise DataError(
            f"--retrain-every {every} is not a whole number of the bundle's intervals",
            "for example 7d",
        )
    return Renewing(manifest, every_ms)


def parse_horizons(text: str | None) -> list[int] | None:
    """`24,96` as numbers; None if not given. Raises DataError."""
    try:
        horizons = [int(word) for word in listed(text or "")]
    except ValueError:
        horizons = [0]
    if any(horizon < 1 for horizon in horizons):
        raise DataError(f"--horizons {text!r} are not numbers of intervals", "for example 24,96")
    return horizons or None


def _check_outputs(json: Path | None, plot: Path | None) -> None:
    """Raises before anything is read: MissingExtra without matplotlib,
    DataError for a file that cannot be written."""
    from eddycast.service.output_files import check_writable
    from eddycast.training.evaluation.plot import require_matplotlib

    if plot:
        require_matplotlib()
    for target in filter(None, (json, plot and plot.with_suffix(".html"))):
        check_writable(target)


def _print_figures(console: Console, figures: list[Figure], protocol: str, title: str) -> None:
    from eddycast.training.evaluation.report import figures_table, remarks

    console.print(figures_table(figures, protocol, title=title))
    for line in remarks(figures, protocol):
        console.print(escape(line))


def _print_seen(console: Console, manifest: Manifest, panel: Panel, split: Split) -> dict[str, str]:
    """Warn if training saw the hold-out; the warning under `seen`, for the JSON file."""
    from eddycast.training.evaluation.report import seen_remark

    remark = seen_remark(manifest, panel, split)
    if not remark:
        return {}
    console.print(f"[bold]warning:[/bold] {remark}")
    return {"seen": remark}


def _write_report(
    console: Console,
    path: Path,
    bundle: Path,
    panel: Panel,
    protocol: str,
    split: Split,
    asked: dict[str, Any],
) -> None:
    """Write the HTML report of one protocol, and print the names of the files."""
    from eddycast.training.evaluation.html_report import write_html_report
    from eddycast.training.progress import scoring_bar

    with scoring_bar(console, "pictures") as report:
        pictures = write_html_report(path, bundle, panel, protocol, split, report=report, **asked)
    console.print(
        f"pictures: {path}, {', '.join(picture.name for picture in pictures)}", markup=False
    )
