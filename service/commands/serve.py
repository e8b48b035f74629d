"""`eddycast serve`: the service, until a signal."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.settings_help import SettingsHelp
from service.settings import load_settings


def serve(
    context: typer.Context,
    leave: Annotated[bool, typer.Option("--leave", help="The same as --kafka.leave=true.")] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Forecast every observation of the input topic, until SIGTERM or ctrl-C."""
    settings = load_settings([*(["--kafka.leave=true"] if leave else []), *context.args])
    from service.app import run  # onnxruntime and the client are slow to import: a wrong flag does not wait for them

    run(settings)
