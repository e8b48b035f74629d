"""`eddycast challenge`: another model beside the champion, until a signal."""

from __future__ import annotations

from typing import Annotated

import typer

from eddycast.service.commands.named_model import named_model, without_pin
from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import broker_of, listed, settings_after
from eddycast.service.observability.log import get_log


def challenge(
    context: typer.Context,
    challenger: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A bundle's directory, or six or more digits of a version in registry.url; must "
            "precede all settings.",
        ),
    ],
    group: Annotated[
        str,
        typer.Option(
            "--group",
            help="Group of the challenger; its topics are GROUP-forecasts, GROUP-dead-letters and "
            "GROUP-changelog.",
        ),
    ],
    multi_step: Annotated[
        bool,
        typer.Option(
            "--multi-step",
            help="Make multi-step forecasts as well, as engine.forecast_every says.",
        ),
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Serve another model beside the champion, from a copy of its rows, to topics of its own. Takes
    the flags with which the champion is served; that group is not changed. A group that has begun
    before continues.

    Example: eddycast challenge /srv/newer --group load-b --kafka.group load
    """
    settings = settings_after(challenger, context.args)
    # slow to import (onnxruntime, the client): after the flags are checked
    from eddycast.service.app import run
    from eddycast.service.migration.challenger import challenger_settings, take_champions_rows

    own = challenger_settings(settings, group, multi_step)
    runtime = named_model(challenger, without_pin(settings))
    done = take_champions_rows(broker_of(settings), settings, own, runtime.manifest)
    if done is None:
        get_log().info("the challenger continues from its own rows", group=group)
    else:
        get_log().info(
            "the challenger begins with the champion's rows",
            rows=done.streams,
            group=group,
            offsets=listed(done.offsets.items()),
            topic=own.topics.output,
        )
    run(own, runtime)
