"""`eddycast challenge`: another model beside the champion, until a signal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eddycast.service.bundle import MANIFEST
from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import broker_of, listed, settings_after
from eddycast.service.errors import SettingsError
from eddycast.service.observability.log import get_log
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.model.runtime import Runtime


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

    is_bundle = (Path(challenger) / MANIFEST).is_file()
    directory = Path(challenger) if is_bundle else None
    own = challenger_settings(settings, group, directory, multi_step)
    runtime = _runtime(challenger, settings, own, is_bundle)
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


def _runtime(challenger: str, settings: Settings, own: Settings, is_bundle: bool) -> Runtime:
    """The challenger's model."""
    if is_bundle:
        from eddycast.service.model.loading import load_runtime

        engine = own.engine
        return load_runtime(
            own.bundle.directory,
            intra_op_threads=engine.intra_op_threads,
            max_batch=engine.max_batch,
            trust=own.bundle.trust,
        )
    if settings.registry.url is None:
        raise SettingsError(
            f"{challenger} is no bundle's directory",
            "name one, or set registry.url and registry.model for a version",
        )
    from eddycast.service.registry.registry import open_registry

    registry = open_registry(settings)
    return registry.load(registry.resolve(challenger))
