"""`eddycast monitor`: shows every stream, answers questions about forecasts and accuracy."""

from __future__ import annotations

import typer

from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.errors import MissingExtra
from eddycast.service.settings.load import load_settings


def monitor(context: typer.Context, help: SettingsHelp = False) -> None:  # noqa: A002, ARG001 - the name of the flag
    """Serve a page and an API over the forecasts topic until SIGTERM or ctrl-C.
    Takes the flags of `eddycast serve`.

    Example: eddycast monitor --kafka.bootstrap_servers HOST:9092 --monitor.port 9465
    """
    settings = load_settings(context.args)
    try:  # an extra, and slow to import
        from eddycast.service.monitor.run import run

        run(settings)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "plotly"):
            raise
        raise MissingExtra(
            f"`eddycast monitor` needs {error.name}", "pip install 'eddycast[monitor]'"
        ) from error
