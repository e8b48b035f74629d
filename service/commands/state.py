"""`eddycast state`: look at the rows of a service, take them out, and put them back under another group."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from service.errors import MissingExtra, SettingsError
from service.model.manifest_file import read_manifest
from service.observability.log import configure_log
from service.settings.load import Settings, load_settings
from service.writing import check_writable, written_to

if TYPE_CHECKING:
    from service.broker.port import Broker
    from service.migration.export import Header

state = typer.Typer(no_args_is_help=True, help="Look at rows, take them out, and put them back under another group.")
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}
File = Annotated[Path, typer.Argument(metavar="FILE.parquet", help="Stands before all settings.")]


class From(StrEnum):
    """Where the new group begins to read."""

    export = "export"
    earliest = "earliest"
    latest = "latest"


class Partitioner(StrEnum):
    """How producers choose a stream's partition."""

    murmur2 = "murmur2"
    crc32 = "crc32"


@state.command(**_COMMAND)
def show(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Its name; stands before all settings.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Show a stream's row, as the last commit left it. Takes the flags of `eddycast serve`."""
    settings = _settings(context, stream)
    from service.migration.describe import describe

    found = describe(
        _broker(settings), settings, read_manifest(settings.bundle.directory, settings.bundle.trust), stream
    )
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        _print(found)


@state.command(**_COMMAND)
def export(
    context: typer.Context,
    file: File,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Write all rows to a Parquet file, as the last commits left them; the service may run. Takes its flags."""
    settings = _settings(context, str(file))
    _needs_polars()
    from service.migration.export import take_export
    from service.migration.parquet_file import write_export

    check_writable(file)
    broker = _broker(settings)
    exported = take_export(broker, settings, read_manifest(settings.bundle.directory, settings.bundle.trust))
    with written_to(file):
        write_export(exported, file)
    header, say = exported.header, Console(highlight=False, soft_wrap=True, markup=False).print
    say(f"{len(exported.streams):,} rows of {header.partitions} partitions in {file}")
    say(_unread(broker, header))
    if members := _members(broker, header.group):
        say(f"the group {header.group} goes on: it has {members} member{'s' if members > 1 else ''}")


@state.command("import", **_COMMAND)
def bring(
    context: typer.Context,
    file: File,
    begin: Annotated[
        From, typer.Option("--from", help="Where the new group begins; export = where the export ends.")
    ] = From.export,
    partitioner: Annotated[
        Partitioner | None, typer.Option(help="How producers choose partitions, if the rows do not tell.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if records are forecast twice, or without their rows.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Put exported rows into the changelog of a new group, each where its stream is now. Takes the service's flags."""
    settings = _settings(context, str(file))
    _needs_polars()
    from service.migration.parquet_file import read_export
    from service.migration.restore_into_group import ImportOptions, import_rows

    manifest = read_manifest(settings.bundle.directory, settings.bundle.trust)
    exported = read_export(file, manifest)
    options = ImportOptions(begin.value, None if partitioner is None else partitioner.value, force)
    done = import_rows(_broker(settings), settings, manifest, exported, options)
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    moved = "as they were" if done.partitioner is None else f"by {done.partitioner}, from {exported.header.partitions}"
    say(f"{done.streams:,} rows in {len(done.offsets)} partitions of {settings.changelog}, {moved}")
    say(f"the group {settings.kafka.group} begins at {_listed(done.offsets.items())} of {settings.topics.input}")


@state.command(**_COMMAND)
def forget(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Its name; stands before all settings.")],
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Forget a stream's row, for a group that is stopped; its next reading begins a new one. Takes its flags."""
    settings = _settings(context, stream)
    from service.migration.editing import forget_stream

    held = forget_stream(_broker(settings), settings, read_manifest(settings.bundle.directory), stream)
    where = " and ".join(map(str, held))
    _say(f"{stream} is forgotten: it had a row in partition {where} of {settings.changelog}")


@state.command(**_COMMAND)
def rename(
    context: typer.Context,
    old: Annotated[str, typer.Argument(help="Its name up to now.")],
    new: Annotated[str, typer.Argument(help="Its name from now on; both stand before all settings.")],
    partitioner: Annotated[
        Partitioner | None, typer.Option(help="How producers choose partitions, if the rows do not tell.")
    ] = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Give a stream's row to another name, for a group that is stopped. Takes its flags."""
    settings = _settings(context, old)
    from service.migration.editing import rename_stream

    named = None if partitioner is None else partitioner.value
    manifest = read_manifest(settings.bundle.directory)
    done = rename_stream(_broker(settings), settings, manifest, old, new, named)
    moved = "" if done.before == done.after else f", from partition {done.before}"
    _say(f"the row of {old} is that of {new}, in partition {done.after}{moved} of {settings.changelog}")


def _say(line: str) -> None:
    Console(highlight=False, soft_wrap=True, markup=False).print(line)


def _settings(context: typer.Context, first: str) -> Settings:
    """What the flags after the argument say. Raises SettingsError."""
    if first.startswith("--"):
        raise SettingsError(f"{first} stands where an argument is wanted", "write settings behind all arguments")
    settings = load_settings(context.args)
    configure_log(settings.log.format, settings.log.level)
    return settings


def _broker(settings: Settings) -> Broker:
    from service.delivery.connect import kafka_broker  # the client is slow to import: a wrong flag does not wait for it

    return kafka_broker(settings.kafka)


def _needs_polars() -> None:
    if find_spec("polars") is None:
        raise MissingExtra("Parquet needs polars, which is not installed", "pip install 'eddycast[data]'")


def _members(broker: Broker, group: str) -> int:
    admin = broker.admin()
    try:
        return admin.members(group)
    finally:
        admin.close()


def _unread(broker: Broker, header: Header) -> str:
    """How far the rows are behind the input."""
    reader = broker.reader(header.topic)
    try:
        end = reader.end([part.partition for part in header.parts])
        behind = {part.partition: end[part.partition] - part.next_offset for part in header.parts}
    finally:
        reader.close()
    total = sum(behind.values())
    if not total:
        return f"everything in {header.topic} is read"
    return f"{total:,} offsets of {header.topic} are not read yet: {_listed(p for p in behind.items() if p[1])}"


def _listed(pairs: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{partition}: {offset}" for partition, offset in pairs)


def _print(found: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False)
    for name, value in found.items():
        if name == "tensors":
            for tensor in value:
                shape = " x ".join(map(str, tensor["shape"]))
                bad = f", {tensor['nonfinite']} not finite" if tensor["nonfinite"] else ""
                table.add_row(f"state.{tensor['name']}", f"{tensor['dtype']} [{shape}], norm {tensor['norm']:.6g}{bad}")
        elif isinstance(value, dict):
            for inner, part in value.items():
                table.add_row(f"{name}.{inner}", str(part))
        else:
            table.add_row(name, str(value))
    Console(highlight=False, markup=False).print(table)
