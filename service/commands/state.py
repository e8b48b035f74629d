"""`eddycast state`: show, export, import, forget and rename the state rows of a service."""

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

from eddycast.service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from eddycast.service.errors import MissingExtra, SettingsError
from eddycast.service.humanize import table_width
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.observability.log import configure_log
from eddycast.service.output_files import check_writable, written_to
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.broker.port import Broker
    from eddycast.service.bundle import Manifest
    from eddycast.service.migration.export import Header

state = typer.Typer(
    no_args_is_help=True, help="Show, export, import, forget and rename state rows."
)
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}
File = Annotated[Path, typer.Argument(metavar="FILE.parquet", help="Must precede all settings.")]


class From(StrEnum):
    """Start offsets of the new group."""

    export = "export"
    earliest = "earliest"
    latest = "latest"


class Partitioner(StrEnum):
    """Partitioner of the producers of the input topic."""

    murmur2 = "murmur2"
    crc32 = "crc32"


@state.command(**_COMMAND)
def show(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream; must precede all settings.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Show a stream's row as of the last commit. Takes the flags of `eddycast serve`.

    Example: eddycast state show boiler-3 --bundle.directory /srv/bundle
    """
    settings = _settings(context, stream)
    from eddycast.service.migration.describe import describe

    found = describe(
        _broker(settings),
        settings,
        _manifest(settings),
        stream,
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
    """Export all rows as of the last commits to a Parquet file; the service may run.
    Takes its flags.

    Example: eddycast state export rows.parquet --bundle.directory /srv/bundle
    """
    settings = _settings(context, str(file))
    _needs_polars()
    from eddycast.service.migration.export import take_export
    from eddycast.service.migration.parquet_file import write_export

    check_writable(file)
    broker = _broker(settings)
    exported = take_export(broker, settings, _manifest(settings))
    with written_to(file):
        write_export(exported, file)
    header, say = exported.header, Console(highlight=False, soft_wrap=True, markup=False).print
    say(f"{len(exported.streams):,} rows of {header.partitions} partitions in {file}")
    say(_unread(broker, header))
    if members := _members(broker, header.group):
        say(
            f"the group {header.group} goes on: it has {members} member{'s' if members > 1 else ''}"
        )


@state.command("import", **_COMMAND)
def bring(
    context: typer.Context,
    file: File,
    begin: Annotated[
        From,
        typer.Option(
            "--from", help="Start offsets of the new group; export = the offsets in the export."
        ),
    ] = From.export,
    partitioner: Annotated[
        Partitioner | None,
        typer.Option(help="Partitioner of the producers.", show_default="found from the rows"),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Proceed even if records would be forecast twice or without their rows."
        ),
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Import rows into the changelog of a new group, in their streams' partitions.
    Takes the service's flags.

    Example: eddycast state import rows.parquet --from latest --bundle.directory /srv/bundle
    """
    settings = _settings(context, str(file))
    _needs_polars()
    from eddycast.service.migration.parquet_file import read_export
    from eddycast.service.migration.restore_into_group import ImportOptions, import_rows

    manifest = _manifest(settings)
    exported = read_export(file, manifest, settings.time)
    options = ImportOptions(begin.value, None if partitioner is None else partitioner.value, force)
    done = import_rows(_broker(settings), settings, manifest, exported, options)
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    moved = (
        "as they were"
        if done.partitioner is None
        else f"by {done.partitioner}, from {exported.header.partitions}"
    )
    say(f"{done.streams:,} rows in {len(done.offsets)} partitions of {settings.changelog}, {moved}")
    say(
        f"the group {settings.kafka.group} begins at "
        f"{_listed(done.offsets.items())} of {settings.topics.input}"
    )


@state.command(**_COMMAND)
def forget(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream; must precede all settings.")],
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Delete a stream's row while the group is stopped; the next reading starts a new one.
    Takes its flags.

    Example: eddycast state forget boiler-3 --bundle.directory /srv/bundle
    """
    settings = _settings(context, stream)
    from eddycast.service.migration.editing import forget_stream

    held = forget_stream(_broker(settings), settings, _manifest(settings), stream)
    where = " and ".join(map(str, held))
    _say(f"forgot {stream}, which had a row in partition {where} of {settings.changelog}")


@state.command(**_COMMAND)
def rename(
    context: typer.Context,
    old: Annotated[
        str, typer.Argument(help="Current name of the stream; must precede all settings.")
    ],
    new: Annotated[str, typer.Argument(help="New name of the stream; must precede all settings.")],
    partitioner: Annotated[
        Partitioner | None,
        typer.Option(help="Partitioner of the producers.", show_default="found from the rows"),
    ] = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Rename a stream's row while the group is stopped. Takes the service's flags.

    Example: eddycast state rename boiler-3 boiler-4 --bundle.directory /srv/bundle
    """
    settings = _settings(context, old)
    from eddycast.service.migration.editing import rename_stream

    named = None if partitioner is None else partitioner.value
    manifest = _manifest(settings)
    done = rename_stream(_broker(settings), settings, manifest, old, new, named)
    moved = "" if done.before == done.after else f", from partition {done.before}"
    _say(f"renamed {old} to {new}, in partition {done.after}{moved} of {settings.changelog}")


def _say(line: str) -> None:
    Console(highlight=False, soft_wrap=True, markup=False).print(line)


def _settings(context: typer.Context, first: str) -> Settings:
    """Settings from the flags that follow the argument. Raises SettingsError."""
    if first.startswith("--"):
        raise SettingsError(
            f"{first} is in place of an argument", "write settings after all arguments"
        )
    settings = load_settings(context.args)
    configure_log(settings.log.format, settings.log.level)
    return settings


def _manifest(settings: Settings) -> Manifest:
    """The manifest of the model that a service with these settings would serve."""
    if settings.registry.url is None:
        return read_manifest(settings.bundle.directory, settings.bundle.trust)
    # slow to import (onnxruntime)
    from eddycast.service.registry.registry import open_champion

    registry, change = open_champion(settings)
    return registry.manifest(change.champion)


def _broker(settings: Settings) -> Broker:
    # slow to import: after the flags are checked
    from eddycast.service.delivery.connect import kafka_broker

    return kafka_broker(settings.kafka)


def _needs_polars() -> None:
    if find_spec("polars") is None:
        raise MissingExtra(
            "Parquet needs polars, which is not installed", "pip install 'eddycast[data]'"
        )


def _members(broker: Broker, group: str) -> int:
    with broker.admin() as admin:
        return admin.members(group)


def _unread(broker: Broker, header: Header) -> str:
    """Sentence about the lag of the rows behind the input."""
    with broker.reader(header.topic) as reader:
        end = reader.end([part.partition for part in header.parts])
        behind = {part.partition: end[part.partition] - part.next_offset for part in header.parts}
    total = sum(behind.values())
    if not total:
        return f"all of {header.topic} has been read"
    return (
        f"{total:,} offsets of {header.topic} have not been read yet: "
        f"{_listed(p for p in behind.items() if p[1])}"
    )


def _listed(pairs: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{partition}: {offset}" for partition, offset in pairs)


def _print(found: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False)
    for name, value in found.items():
        if name == "tensors":
            for tensor in value:
                shape = " x ".join(map(str, tensor["shape"]))
                bad = f", {tensor['nonfinite']} not finite" if tensor["nonfinite"] else ""
                table.add_row(
                    f"state.{tensor['name']}",
                    f"{tensor['dtype']} [{shape}], norm {tensor['norm']:.6g}{bad}",
                )
        elif isinstance(value, dict):
            for inner, part in value.items():
                table.add_row(f"{name}.{inner}", str(part))
        else:
            table.add_row(name, str(value))
    Console(width=table_width(), highlight=False, markup=False).print(table)
