"""`eddycast serve`: the service, until a signal."""

from __future__ import annotations

import typer

from service.commands.settings_help import SettingsHelp
from service.settings import load_settings


def serve(context: typer.Context, help: SettingsHelp = False) -> None:  # noqa: A002, ARG001 - the name of the flag
    """Forecast every observation of the input topic, until SIGTERM or ctrl-C."""
    settings = load_settings(context.args)
    from service.app import run  # onnxruntime and the client are slow to import: a wrong flag does not wait for them

    run(settings)
