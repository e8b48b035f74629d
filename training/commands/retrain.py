"""`eddycast retrain`: judge the candidates of a registry, then train the next one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from eddycast.service.commands.data_options import Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.commands.settings_help import SettingsHelp, takes_settings
from eddycast.service.humanize import line_width
from eddycast.training.data.options import PanelOptions
from eddycast.training.retraining.options import JobOptions, Wishes

#: Exit code of a run in which --require was not met.
NOT_MET = 3


@takes_settings
@expand_options
def retrain(
    context: typer.Context,
    history: Annotated[
        list[str],
        typer.Option(
            help="archive (in archive.directory), kafka, kafka:TOPIC or kafka:TOPIC@90d, or "
            "files as in `eddycast train`; give it once for each."
        ),
    ],
    job: Annotated[JobOptions, "Training and judging"],
    wishes: Annotated[Wishes, "Model"],
    grid: Annotated[PanelOptions, "Grid and split"],
    reading: Reading,
    key: Annotated[
        Path | None,
        typer.Option(help="Sign bundle and changes with this private key.", show_default="none"),
    ] = None,
    textfile: Annotated[
        Path | None,
        typer.Option(help="Write metrics for Prometheus to this file.", show_default="none"),
    ] = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Judge the candidates of a registry on new readings, promote what proves better, and train and
    publish the next candidate. May be repeated and interrupted at any time. Prints one JSON line;
    takes the settings of `eddycast serve`.

    Example: eddycast retrain --history archive --archive.directory /srv/archive
    --registry.url /srv/models --registry.model load
    """
    import time
    from dataclasses import replace

    from rich.console import Console

    from eddycast.service.commands.models_request import author, now
    from eddycast.service.registry.registry import open_registry
    from eddycast.service.settings.load import load_settings
    from eddycast.training.progress import training_bar
    from eddycast.training.retraining.judging import Author
    from eddycast.training.retraining.report import as_json, write_metrics
    from eddycast.training.retraining.run import Job, champion_of, run
    from eddycast.training.retraining.sources import read_sources

    started = time.monotonic()
    settings = load_settings(context.args)
    registry = open_registry(settings)
    registry.prepare()
    console = Console(stderr=True, width=line_width(sys.stderr), highlight=False)

    def say(note: str) -> None:
        console.print(f"note: {escape(note)}")

    if settings.time.is_gathered:  # unless told otherwise
        grid = replace(grid, aggregate=grid.aggregate or settings.time.aggregate)
    found = read_sources(history, settings, reading, champion_of(registry))
    report = run(
        Job(
            registry, found, job, wishes, grid, Author(author(), now(), key), say,
            lambda title: training_bar(console, title),
        )
    )  # fmt: skip
    typer.echo(as_json(report, registry.model, time.monotonic() - started))
    if textfile is not None:
        write_metrics(textfile, report, registry.model, now())
    if not report.meets(job.require):
        raise typer.Exit(NOT_MET)
