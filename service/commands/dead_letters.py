"""`eddycast dead-letters`: show the dead letters of a service, and replay them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eddycast.service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from eddycast.service.dead_letters.codes import CODES
from eddycast.service.errors import SettingsError
from eddycast.service.observability.log import configure_log
from eddycast.service.redrive.letters import LetterTopic, Selection
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.broker.port import Broker

dead_letters = typer.Typer(no_args_is_help=True, help="Show or replay dead letters.")
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}


class Partitioner(StrEnum):
    """Partitioner of the producers of the input topic."""

    murmur2 = "murmur2"
    crc32 = "crc32"


Codes = Annotated[
    str | None,
    typer.Option("--code", help="Only letters with this error; several with commas; none = all."),
]
Streams = Annotated[
    str | None,
    typer.Option(
        "--stream", help="Only letters with such a key, as plant1/*, !*/test; none = all."
    ),
]
Since = Annotated[
    datetime | None, typer.Option(metavar="DATE", help="Only letters written since then, UTC.")
]


@dead_letters.command(**_COMMAND)
def show(
    context: typer.Context,
    code: Codes = None,
    stream: Streams = None,
    since: Since = None,
    last: Annotated[
        int | None,
        typer.Option(
            min=1, help="Read only the last offsets of each partition, so many; none = all."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a letter.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Count the dead letters by error; with --code show the records themselves.
    Takes the flags of `eddycast serve`.

    Example: eddycast dead-letters show --code not_json --kafka.bootstrap_servers HOST:9092
    """
    settings, selection = _chosen(context, code, stream, since)
    from eddycast.service.commands.dead_letters_output import print_each, print_lines, print_sums

    patience_s = settings.waits.transactions_s
    topic = LetterTopic(_broker(settings), settings.topics.dead_letters, patience_s, last)
    printed = print_lines if as_json else print_each if code else print_sums
    printed(selection.chosen(topic.letters()), topic)


@dead_letters.command(**_COMMAND)
def replay(
    context: typer.Context,
    code: Codes = None,
    stream: Streams = None,
    since: Since = None,
    edit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Replay only the letters in this file of `show --json`, as edited there.",
            show_default="none",
        ),
    ] = None,
    partitioner: Annotated[
        Partitioner | None,
        typer.Option(help="Partitioner of the producers, for keys that were edited."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be replayed, and write nothing.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Put the records of dead letters back on the input topic, each once, after the settings were
    changed. Takes the flags of `eddycast serve`.

    Example: eddycast dead-letters replay --code not_json --kafka.bootstrap_servers HOST:9092
    """
    settings, selection = _chosen(context, code, stream, since)
    from eddycast.service.commands.dead_letters_output import print_report
    from eddycast.service.redrive.lines import read_edited
    from eddycast.service.redrive.replay import Changes
    from eddycast.service.redrive.replay import replay as replayed

    named = None if partitioner is None else partitioner.value
    changes = None if edit is None else Changes(read_edited(edit), named)
    report = replayed(_broker(settings), settings, selection, changes, dry_run)
    print_report(report, settings.topics.input, dry_run)
    if report.refused:
        raise typer.Exit(1)


def _chosen(
    context: typer.Context, code: str | None, stream: str | None, since: datetime | None
) -> tuple[Settings, Selection]:
    """The settings, and the letters that the options name. Raises SettingsError."""
    settings = load_settings(context.args)
    configure_log("console", "error")
    codes = frozenset(listed(code or ""))
    if unknown := codes - CODES.keys():
        raise SettingsError(
            f"--code: there is no error {min(unknown)!r}", f"one of {', '.join(CODES)}"
        )
    since_ms = -1
    if since is not None:
        since_ms = int((since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp() * 1000)
    return settings, Selection(codes, listed(stream or ""), since_ms)


def _broker(settings: Settings) -> Broker:
    # slow to import: after the flags are checked
    from eddycast.service.delivery.connect import kafka_broker

    return kafka_broker(settings.kafka)
