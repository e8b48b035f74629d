"""`eddycast input`: try a mapping on a handful of records, or guess one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eddycast.service.commands.sampling import of_file, of_topic
from eddycast.service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import DataError
from eddycast.service.formats.avro_documents import AvroDocuments
from eddycast.service.formats.guessing import guess
from eddycast.service.formats.json_observation import iso
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Filtered, Outcome, Reading, Record
from eddycast.service.humanize import many, one_line, table_width
from eddycast.service.observability.log import configure_log
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

input_ = typer.Typer(no_args_is_help=True, help="Try or guess the mapping of records to readings.")
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}
Topic = Annotated[
    str | None, typer.Option(help="Read the last records of this topic; none = topics.input.")
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of records.")]
#: Maximum length of a cell of the table, characters.
_WIDTH = 300


@input_.command("try", **_COMMAND)
def try_(
    context: typer.Context,
    topic: Topic = None,
    limit: Limit = 10,
    channels: Annotated[
        int | None,
        typer.Option(min=1, help="Number of the model's channels; none = those of input.value."),
    ] = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Show what the mapping makes of real records: `eddycast input try FILE`, or the last ones of
    a topic. A line of FILE is a record, with the key before a tab or as kcat -J writes it.
    Takes the flags of `eddycast serve`, after FILE.

    Example: eddycast input try records.jsonl --input.format json
    """
    settings, records = _sample(context, topic, limit)
    show(settings, records, channels)


@input_.command("guess", **_COMMAND)
def guess_(
    context: typer.Context,
    topic: Topic = None,
    limit: Limit = 10,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Propose a mapping for real records by their shape, and try it: `eddycast input guess FILE`,
    or the last ones of a topic. Takes the flags of `eddycast serve`, after FILE.

    Example: eddycast input guess records.jsonl
    """
    settings, records = _sample(context, topic, limit)
    schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
    found = guess([record for _, record in records], AvroDocuments(schemas.schema_of))
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    if found is None:
        say("none of the records has a known shape or a number: see docs/input.md")
    else:
        say(as_toml(found) if found else "no settings are needed: this is the plain shape")
    guessed = settings.model_copy(update={"input": InputSettings.model_validate(found or {})})
    show(guessed, records, None)


def as_toml(settings: dict[str, str]) -> str:
    """Settings of the group as they are written in a TOML file."""
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    return "\n".join(["[input]", *lines])


def show(settings: Settings, records: Sequence[tuple[str, Record]], channels: int | None) -> None:
    """Print a row for each reading of the records, and the sums."""
    count = settings.input.width
    if settings.input.fields is None:
        count = channels or count
    schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
    mapping = Mapping(settings.input, count, settings.time.earliest_ms, schemas.schema_of)
    table = Table(box=None, header_style="bold")
    for column in ("record", "stream", "time", "value", ""):
        table.add_column(column, overflow="fold")
    outcomes: list[Outcome] = []
    for place, record in records:
        for outcome in mapping.read(record):
            outcomes.append(outcome)
            cells = _cells(f"{place} {outcome.place}".strip(), outcome)
            table.add_row(*(Text(one_line(cell)[:_WIDTH]) for cell in cells))
    console = Console(width=table_width(), highlight=False)
    console.print(table)
    readings = sum(isinstance(outcome, Reading) for outcome in outcomes)
    passed = sum(isinstance(outcome, Filtered) for outcome in outcomes)
    rest = len(outcomes) - readings - passed
    console.print(
        f"{many(len(records), 'record')}: {many(readings, 'reading')}, {passed:,} filtered, "
        f"{many(rest, 'dead letter')}",
        markup=False,
    )


def _cells(place: str, outcome: Outcome) -> Iterator[str]:
    yield place
    if isinstance(outcome, Reading):
        yield outcome.stream.decode()
        yield iso(outcome.timestamp)
        yield ", ".join("missing" if value != value else f"{value:g}" for value in outcome.values)
        return
    yield from ("", "", "")
    if isinstance(outcome, Filtered):
        yield "filtered"
    else:
        yield f"{outcome.why.error}: {outcome.why.reason}"


def _sample(
    context: typer.Context, topic: str | None, limit: int
) -> tuple[Settings, list[tuple[str, Record]]]:
    """The settings, and the records to try. Raises SettingsError, DataError, BrokerError."""
    file, flags = None, context.args
    if flags and not flags[0].startswith("--"):
        file, flags = Path(flags[0]), flags[1:]
    settings = load_settings(flags)
    configure_log("console", "error")
    name = topic or settings.topics.input
    if file is not None:
        return settings, of_file(file, limit, name)
    from eddycast.service.delivery.connect import kafka_broker

    records = of_topic(kafka_broker(settings.kafka), name, limit)
    if not records:
        raise DataError(f"the topic {name} has no records", "name another one with --topic")
    return settings, records
