"""`eddycast serve`: run the service until a signal."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.errors import EddycastError, SettingsError
from eddycast.service.observability.log import configure_log, get_log, is_json
from eddycast.service.settings.load import asks_for_json, load_settings


def serve(
    context: typer.Context,
    leave: Annotated[bool, typer.Option("--leave", help="Short for --kafka.leave=true.")] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Forecast every observation of the input topic until SIGTERM or ctrl-C.

    Example: eddycast serve --bundle.directory /srv/bundle --kafka.bootstrap_servers HOST:9092
    """
    flags = [*(["--kafka.leave=true"] if leave else []), *context.args]
    try:
        settings = load_settings(flags)
    except SettingsError as error:
        if asks_for_json(flags):
            configure_log("json", "info")
            _end(error)
        raise
    # slow to import (onnxruntime, the client): after the flags are checked
    from eddycast.service.app import run

    try:
        run(settings)
    except EddycastError as error:
        if is_json():
            _end(error)
        raise


def _end(error: EddycastError) -> NoReturn:
    """Log the error that ends the service as JSON, and exit with its code."""
    get_log().critical("ended", reason=error.what, action=error.action, exit_code=error.exit_code)
    raise SystemExit(error.exit_code) from error
