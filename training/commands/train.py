"""`eddycast train`: history in, bundle out. Most of its options are the fields of
`training/recipe.py`, `training/data/options.py` and `service/history/options.py`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from eddycast.service.bundle import MANIFEST
from eddycast.service.commands.data_options import Data, Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.humanize import table_width
from eddycast.training.data.options import PanelOptions
from eddycast.training.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from eddycast.service.bundle import Manifest
    from eddycast.training.data.panel import Panel
    from eddycast.training.evaluation.metrics import Figure


@expand_options
def train(
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Directory to write the bundle to; created if missing.")
    ],
    recipe: Annotated[Recipe, "Model"],
    grid: Annotated[PanelOptions, "Grid and split"],
    reading: Reading,
    no_season: Annotated[
        bool, typer.Option("--no-season", help="The same as --season none.")
    ] = False,
    no_refit: Annotated[
        bool,
        typer.Option(
            "--no-refit", help="Keep the weights that were scored, which never saw the hold-out."
        ),
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Log a run with choices, figures and version to this MLflow server.",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Train a forecaster on history, score it on the hold-out, fit it once more to everything,
    and export it.

    Example: eddycast train readings.csv --family lstm --horizon 24 --out bundle
    """
    from rich.console import Console

    from eddycast.service.commands.mlflow_server import mlflow_server
    from eddycast.service.history import read_history
    from eddycast.training.bundle_directory import check_replaceable
    from eddycast.training.data.durations import format_seasons
    from eddycast.training.data.preparation import prepare
    from eddycast.training.memory_estimate import memory_note
    from eddycast.training.problems import with_seasons
    from eddycast.training.progress import training_bar
    from eddycast.training.recipe_checks import check_family, check_name
    from eddycast.training.train import train_bundle

    console = Console(width=table_width(), highlight=False)
    check_family(recipe.family)
    check_name(recipe.name)
    check_replaceable(out)
    server = None if mlflow is None else mlflow_server(mlflow)
    experiment = recipe.name or EXPERIMENT
    if server is not None:
        server.prepare(experiment)
    prepared = prepare(read_history(data, reading), grid)
    _print_notes(console, prepared.notes)
    recipe = with_seasons(
        replace(recipe, seasons_ms=()) if no_season else recipe, prepared.panel, prepared.split
    )
    _print_notes(console, [format_seasons(recipe.seasons_ms or ())])
    _print_notes(console, filter(None, [memory_note(prepared.panel, recipe)]))
    if (out / MANIFEST).is_file():
        _print_notes(console, [f"the bundle in {out} is replaced"])
    wall, cpu = time.monotonic(), time.process_time()
    with training_bar(
        console, f"training {recipe.family}; then the bundle is scored on the hold-out"
    ) as report:
        manifest, figures = train_bundle(
            prepared.panel, recipe, prepared.split, out, report, refit=not no_refit
        )
    _print_notes(console, _training_notes(manifest, prepared.panel, recipe))
    _print_figures(console, manifest, figures)
    spent = f"{time.monotonic() - wall:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
    size = f"{manifest.row_bytes:,} bytes a stream, trained and scored in {spent}"
    console.print(f"{manifest.label} in {escape(str(out))}: {size}")
    if server is not None:
        choices = {"data": " ".join(data), "refit": not no_refit} | asdict(recipe) | asdict(grid)
        run = server.log_training(experiment, manifest, choices)
        console.print(f"run {run} of the experiment {escape(experiment)} in MLflow")


#: Experiment in MLflow of trainings without --name.
EXPERIMENT = "eddycast"

#: By which a model is compared with the baselines:
#: means over streams, so that no large series speaks for the others.
VERDICT = ("mase", "wql")


def beaten_by(figures: Sequence[Figure], model: str) -> dict[str, list[str]]:
    """The measures of VERDICT over the whole horizon in which a baseline is better than the model,
    by baseline."""
    longest = max(figure.horizon for figure in figures)
    pooled = {
        figure.model: figure
        for figure in figures
        if figure.horizon == longest and figure.stream is None
    }
    own = pooled.pop(model, None)
    found = {
        rival: [name for name in VERDICT if _less(figure, own, name)]
        for rival, figure in pooled.items()
    }
    return {rival: measures for rival, measures in found.items() if measures}


def _less(figure: Figure, than: Figure | None, measure: str) -> bool:
    one, other = getattr(figure, measure), getattr(than, measure, None)
    return one is not None and other is not None and one < other


def _print_notes(console: Console, notes: Iterable[str]) -> None:
    for note in notes:
        console.print(f"note: {escape(note)}")


def _print_figures(console: Console, manifest: Manifest, figures: Sequence[Figure]) -> None:
    """The table of the hold-out, a warning for each better baseline,
    and what the weights have seen."""
    from eddycast.training.data.durations import format_seasons
    from eddycast.training.evaluation.cold_start import describe
    from eddycast.training.evaluation.report import figures_table, weights_remark

    console.print(
        figures_table(figures, "rolling", title=f"hold-out, {format_seasons(manifest.seasons_ms)}")
    )
    for rival, measures in beaten_by(figures, manifest.name).items():
        smaller = " and ".join(measure.upper() for measure in measures)
        warning = (
            f"on the hold-out, mean over streams, {rival} has "
            f"the smaller {smaller}: more history, a season?"
        )
        console.print(f"[bold]warning:[/bold] {warning}")
    _print_notes(console, [note for note in (describe(manifest.cold_start),) if note])
    _print_notes(console, [weights_remark(manifest)])


def _training_notes(manifest: Manifest, panel: Panel, recipe: Recipe) -> list[str]:
    """Remarks about choices that training made from the history."""
    from eddycast.service.processing.replay import usual_gap
    from eddycast.training.data.gap_limit import gap_note

    record = manifest.training
    notes = [record.choice, record.narrow, record.suspects] if record else []
    notes.append(gap_note(panel.fed, usual_gap(manifest)) or "")
    if recipe.support is None and manifest.kind != "counter" and manifest.support != "real":
        notes.append(
            "values are often 0 and never below: no forecast "
            "is below 0, unless --support real is given"
        )
    return [note for note in notes if note]
