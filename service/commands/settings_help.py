"""`--help` of commands that accept every setting as a flag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from eddycast.service.settings.load import CONFIG
from eddycast.service.settings.settings import every_setting

#: typer options of a command whose flags are settings, which it passes on unparsed.
TAKES_SETTINGS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}
_MARK = "takes_settings"


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Mark a command that is found by its entry point: its flags may be settings."""
    setattr(command, _MARK, True)
    return command


def options_of(command: Callable[..., Any]) -> dict[str, Any]:
    """Arguments with which typer adds a command that is found by its entry point."""
    if not getattr(command, _MARK, False):
        return {}
    return {"context_settings": TAKES_SETTINGS, "add_help_option": False}


def _show(context: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    typer.echo(context.get_help())
    table = Table(title="Settings", box=None, title_justify="left", header_style="bold")
    for column in ("flag", "default", "meaning"):
        table.add_column(column, overflow="fold")
    table.add_row("--config", "none", f"Read settings from this TOML file; also {CONFIG}")
    for setting in every_setting():
        table.add_row(f"--{setting.name}", setting.default, setting.field.description)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\nEach is also an environment variable (EDDYCAST_KAFKA__GROUP "
        "for --kafka.group) and a name in the file."
    )
    raise typer.Exit


#: `--help` that lists every setting with its default below the command's own options.
SettingsHelp = Annotated[
    bool,
    typer.Option(
        "--help",
        is_eager=True,
        callback=_show,
        help="Show this message with all settings and exit.",
    ),
]
