"""`eddycast state`: show, export, import, seed, forget and rename the state rows of a service."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import (
    COMMAND,
    Partitioner,
    broker_of,
    listed,
    manifest_of,
    needs_polars,
    say,
    settings_after,
)
from eddycast.service.commands.state_seed import seed
from eddycast.service.humanize import table_width
from eddycast.service.output_files import check_writable, written_to

if TYPE_CHECKING:
    from eddycast.service.broker.port import Broker
    from eddycast.service.migration.export import Header

state = typer.Typer(
    no_args_is_help=True, help="Show, export, import, seed, forget and rename state rows."
)
File = Annotated[Path, typer.Argument(metavar="FILE.parquet", help="Must precede all settings.")]


class From(StrEnum):
    """Start offsets of the new group."""

    export = "export"
    earliest = "earliest"
    latest = "latest"


@state.command(**COMMAND)
def show(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream; must precede all settings.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Show a stream's row as of the last commit. Takes the flags of `eddycast serve`.

    Example: eddycast state show boiler-3 --bundle.directory /srv/bundle
    """
    settings = settings_after(stream, context.args)
    from eddycast.service.migration.describe import describe

    found = describe(
        broker_of(settings),
        settings,
        manifest_of(settings),
        stream,
    )
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        _print(found)


@state.command(**COMMAND)
def export(
    context: typer.Context,
    file: File,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Export all rows as of the last commits to a Parquet file; the service may run.
    Takes its flags.

    Example: eddycast state export rows.parquet --bundle.directory /srv/bundle
    """
    settings = settings_after(str(file), context.args)
    needs_polars("Parquet")
    from eddycast.service.migration.export import take_export
    from eddycast.service.migration.parquet_file import write_export

    check_writable(file)
    broker = broker_of(settings)
    exported = take_export(broker, settings, manifest_of(settings))
    with written_to(file):
        write_export(exported, file)
    header = exported.header
    say(f"{len(exported.streams):,} rows of {header.partitions} partitions in {file}")
    say(_unread(broker, header))
    if members := _members(broker, header.group):
        say(
            f"the group {header.group} goes on: it has {members} member{'s' if members > 1 else ''}"
        )


@state.command("import", **COMMAND)
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
    settings = settings_after(str(file), context.args)
    needs_polars("Parquet")
    from eddycast.service.migration.parquet_file import read_export
    from eddycast.service.migration.restore_into_group import ImportOptions, import_rows

    manifest = manifest_of(settings)
    exported = read_export(file, manifest, settings.time)
    options = ImportOptions(begin.value, None if partitioner is None else partitioner.value, force)
    done = import_rows(broker_of(settings), settings, manifest, exported, options)
    moved = (
        "as they were"
        if done.partitioner is None
        else f"by {done.partitioner}, from {exported.header.partitions}"
    )
    say(f"{done.streams:,} rows in {len(done.offsets)} partitions of {settings.changelog}, {moved}")
    say(
        f"the group {settings.kafka.group} begins at "
        f"{listed(done.offsets.items())} of {settings.topics.input}"
    )


state.command("seed", **COMMAND)(seed)


@state.command(**COMMAND)
def forget(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Name of the stream; must precede all settings.")],
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Delete a stream's row while the group is stopped; the next reading starts a new one.
    Takes its flags.

    Example: eddycast state forget boiler-3 --bundle.directory /srv/bundle
    """
    settings = settings_after(stream, context.args)
    from eddycast.service.migration.editing import forget_stream

    held = forget_stream(broker_of(settings), settings, manifest_of(settings), stream)
    where = " and ".join(map(str, held))
    say(f"forgot {stream}, which had a row in partition {where} of {settings.changelog}")


@state.command(**COMMAND)
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
    settings = settings_after(old, context.args)
    from eddycast.service.migration.editing import rename_stream

    named = None if partitioner is None else partitioner.value
    manifest = manifest_of(settings)
    done = rename_stream(broker_of(settings), settings, manifest, old, new, named)
    moved = "" if done.before == done.after else f", from partition {done.before}"
    say(f"renamed {old} to {new}, in partition {done.after}{moved} of {settings.changelog}")


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
        f"{listed(p for p in behind.items() if p[1])}"
    )


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
