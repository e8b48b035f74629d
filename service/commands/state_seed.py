"""`eddycast state seed`: rows of a new group from history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from eddycast.service.commands.data_options import Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.commands.named_model import named_model
from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import (
    Partitioner,
    broker_of,
    listed,
    needs_polars,
    say,
    settings_after,
)
from eddycast.service.errors import SettingsError
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import Throttle
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.migration.seeding import Seeded

#: Interval of progress lines in the log, s.
_PROGRESS_EVERY_S = 5.0


@expand_options
def seed(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle's directory; or, of registry.url and registry.model, `champion` or six "
            "or more digits of a version.",
        ),
    ],
    reading: Reading,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES", help="Files of history, as in `eddycast train`; before settings."
        ),
    ] = None,
    from_topic: Annotated[
        bool,
        typer.Option(
            "--from-topic", help="Read the input as well, from its first record to its present end."
        ),
    ] = False,
    partitioner: Annotated[
        Partitioner | None,
        typer.Option(
            help="Partitioner of the producers, for streams of which the input has no record.",
            show_default="found from its records",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace rows and offsets that the group has.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Fill the rows of a stopped group from history, so that its first forecasts are those of a
    service that has read all of it. The group begins at the present end of the input. Takes the
    flags of `eddycast serve`.

    Example: eddycast state seed /srv/bundle history.csv --from-topic --kafka.group new
    """
    files, flags = _apart(words or [])
    settings = settings_after(bundle, flags)
    if not files and not from_topic:
        raise SettingsError("nothing to read", "name files, or --from-topic")
    if files:
        needs_polars("reading history")
    from eddycast.service.history import read_for_bundle
    from eddycast.service.migration.seeding import SeedOptions, seed

    runtime = named_model(bundle, settings)
    history = read_for_bundle(files, reading, runtime.manifest) if files else None
    for note in history.notes if history else ():
        get_log().info(note)
    named = None if partitioner is None else partitioner.value
    options = SeedOptions(from_topic, named, replace)
    done = seed(broker_of(settings), settings, runtime, history, options, _progress())
    _report(done, settings)


def _apart(words: list[str]) -> tuple[list[str], list[str]]:
    """Files, and the flags that follow them."""
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return words[:first], words[first:]


def _progress() -> Callable[[int], None]:
    throttle = Throttle(_PROGRESS_EVERY_S)
    throttle.put_off()

    def show(readings: int) -> None:
        if throttle.is_due():
            get_log().info("seeding", readings=readings)

    return show


def _report(done: Seeded, settings: Settings) -> None:
    both = f", {done.in_both:,} of them in both" if done.in_both else ""
    read = done.from_topic + done.in_both
    say(
        f"{done.streams:,} rows in {len(done.offsets)} partitions of {settings.changelog}, from "
        f"{done.from_files:,} readings of files and {read:,} of {settings.topics.input}{both}"
    )
    if done.unreadable:
        say(f"{done.unreadable:,} records could not be read")
    say(
        f"the group {settings.kafka.group} begins at {listed(done.offsets.items())} of "
        f"{settings.topics.input}"
    )
