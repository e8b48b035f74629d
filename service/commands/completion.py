"""Completion of settings in a shell. Commands pass settings on unparsed, so that the completion of
typer does not know them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from eddycast.service.settings.load import CONFIG
from eddycast.service.settings.settings import every_setting


def offer_settings(command: Any) -> None:
    """Add every setting to the options of those commands below `command` that take settings."""
    _offer(command, _setting_options())


def _offer(command: Any, options: Sequence[Any]) -> None:
    for inner in getattr(command, "commands", {}).values():
        _offer(inner, options)
    if command.context_settings.get("allow_extra_args"):
        command.params = [*command.params, *options]


def _setting_options() -> list[Any]:
    """`--config` and the settings as options of a command."""
    flags = {"config": f"Read settings from this TOML file; also {CONFIG}"}
    flags |= {setting.name: str(setting.field.description) for setting in every_setting()}

    def settings(**_: Any) -> None:
        pass

    parameters = [_parameter(name, text) for name, text in flags.items()]
    settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    settings.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False)
    app.command(add_help_option=False)(settings)
    return list(get_command(app).params)


def _parameter(name: str, text: str) -> inspect.Parameter:
    return inspect.Parameter(
        name.replace(".", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, typer.Option(f"--{name}", help=text)],
    )
