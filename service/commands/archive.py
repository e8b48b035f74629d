"""`eddycast archive`: write a topic to Parquet files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.errors import MissingExtra
from eddycast.service.settings.load import load_settings

if TYPE_CHECKING:
    from eddycast.service.archive.rows import Reading
    from eddycast.service.settings.settings import Settings

#: Exit code of a stop that did not finish, as of the service.
_CUT_SHORT = 70


def archive(
    context: typer.Context,
    forecasts: Annotated[
        bool,
        typer.Option("--forecasts", help="Archive topics.output in place of topics.input."),
    ] = False,
    channels: Annotated[int, typer.Option(min=1, help="Number of values in an observation.")] = 1,
    once: Annotated[
        bool, typer.Option("--once", help="Stop at the present end of the topic.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Write the observations to Parquet files in archive.directory until SIGTERM or ctrl-C.
    A restart resumes after the last record that is in a file.

    Example: eddycast archive --once --archive.directory /srv/archive
    """
    settings = load_settings(context.args)
    directory, flush_s = settings.archive.place(), settings.archive.flush_s
    # slow to import: after the flags are checked
    from eddycast.service.archive.archiver import Archiver
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.observability.log import configure_log, get_log, log_everything
    from eddycast.service.signals import StopSignals

    configure_log(settings.log.format, settings.log.level)
    log_everything()
    topic = settings.topics.output if forecasts else settings.topics.input
    reading = _reading(settings, None if forecasts else channels)
    archiver = Archiver(kafka_broker(settings.kafka), topic, reading, directory, flush_s)
    with StopSignals(_cut_short, settings.shutdown_timeout_s) as signals:
        archiver.run(signals.stop, once)
    get_log().info("archived", topic=topic, records=archiver.records, directory=str(directory))


def _reading(settings: Settings, channels: int | None) -> Reading:
    """The reading of observations of so many channels; without a number, of forecasts."""
    try:
        from eddycast.service.archive.forecast_rows import ForecastRows
        from eddycast.service.archive.rows import ObservationRows
        from eddycast.service.delivery.schema_registry import SchemaRegistry
    except ModuleNotFoundError as error:
        if error.name != "polars":
            raise
        raise MissingExtra(
            "`eddycast archive` needs polars", "pip install 'eddycast[data]'"
        ) from error
    schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
    if channels is not None:
        return ObservationRows(settings, channels, schemas)
    return ForecastRows(schemas.schema_of)


def _cut_short(why: str) -> None:
    """End the process now; files are whole at any time."""
    print(f"eddycast: cut short: {why}", file=sys.stderr)  # noqa: T201
    os._exit(_CUT_SHORT)
