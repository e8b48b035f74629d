"""The command line, `eddycast`. The service's own commands are built in; others are found through
the entry-point group `eddycast.commands` and imported only when they are called, so that `serve`
never waits for torch.

Every EddycastError is printed as one line on standard error and has its own exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import EntryPoint, entry_points, metadata
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.main import get_command

from eddycast.service.commands.archive import archive
from eddycast.service.commands.bundle import bundle
from eddycast.service.commands.challenge import challenge
from eddycast.service.commands.completion import offer_settings
from eddycast.service.commands.dead_letters import dead_letters
from eddycast.service.commands.doctor import doctor
from eddycast.service.commands.feed import feed
from eddycast.service.commands.input import input_
from eddycast.service.commands.models import models
from eddycast.service.commands.monitor import monitor
from eddycast.service.commands.replay import replay
from eddycast.service.commands.serve import serve
from eddycast.service.commands.settings_help import TAKES_SETTINGS, options_of
from eddycast.service.commands.simulate import simulate
from eddycast.service.commands.state import state
from eddycast.service.errors import EddycastError, FamilyError, MissingExtra
from eddycast.service.humanize import one_line
from eddycast.service.settings.load import is_completing

GROUP = "eddycast.commands"
OWN = (
    "serve", "doctor", "monitor", "archive", "challenge", "simulate", "replay", "state", "bundle",
    "input", "feed", "models", "dead-letters",
)  # fmt: skip


def main() -> None:
    """Run the command in `sys.argv` and exit; the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code;
    a leading `--debug` keeps the stack trace of an error."""
    try:
        command = get_command(build_app(arguments))
        tidy_help(command)
        if is_completing():
            offer_settings(command)
        command(list(arguments), prog_name="eddycast")
    except EddycastError as error:
        if "--debug" in arguments[:1]:
            raise
        print(f"eddycast: {one_line(str(error))}", file=sys.stderr)  # noqa: T201
        if isinstance(error, FamilyError) and error.trace:
            print(f"the stack trace in your own code:\n{error.trace}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except SystemExit as leaving:
        if "--debug" in arguments[:1] and leaving.__cause__ is not None:
            raise leaving.__cause__ from None
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The typer application: the built-in commands,
    and the other commands that `arguments` may refer to."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    app.command(context_settings=TAKES_SETTINGS, add_help_option=False)(serve)
    app.command(context_settings=TAKES_SETTINGS, add_help_option=False)(doctor)
    app.command(context_settings=TAKES_SETTINGS, add_help_option=False)(monitor)
    app.command(context_settings=TAKES_SETTINGS, add_help_option=False)(archive)
    app.command(context_settings=TAKES_SETTINGS, add_help_option=False)(challenge)
    app.command()(simulate)
    app.command()(replay)
    app.add_typer(state, name="state")
    app.add_typer(bundle, name="bundle")
    app.add_typer(input_, name="input")
    app.add_typer(feed, name="feed")
    app.add_typer(models, name="models")
    app.add_typer(dead_letters, name="dead-letters")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    named = next((argument for argument in arguments if not argument.startswith("-")), "")
    if named in found:
        command = _load(found[named])
        app.command(named, **options_of(command))(command)
    elif named not in OWN:  # the arguments ask for the list of commands, or misspell a name
        for name, entry in found.items():
            command = _load_or_explain(entry)
            app.command(name, **options_of(command))(command)
    return app


def tidy_help(command: Any) -> None:
    """Make --help show the default of every option, including those without a value, and wrap each
    paragraph at the width of the terminal instead of that of the docstring."""
    for inner in getattr(command, "commands", {}).values():
        tidy_help(inner)
    command.help = "\n\n".join(
        " ".join(text.split()) for text in (command.help or "").split("\n\n")
    )
    for option in command.params:
        if (
            option.param_type_name == "option"
            and option.show_default is True
            and option.name != "help"
        ):
            if option.default is None and not option.required:
                option.show_default = "none"
            elif option.default is False:
                option.show_default = "off"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata("eddycast")["Version"])
        raise typer.Exit


def _root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the stack trace of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Forecast streams of observations: one hidden state per stream,
    one forecast per observation."""


def _load(entry: EntryPoint) -> Callable[..., Any]:
    """The command of an entry point. Loading or running it raises MissingExtra where a package is
    missing."""
    with _explained(entry.name):
        command: Callable[..., Any] = entry.load()

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with _explained(entry.name):
            return command(*args, **kwargs)

    return guarded


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the error of a missing package into MissingExtra, which names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "eddycast":
            raise
        extra = name if name in metadata("eddycast").get_all("Provides-Extra", []) else "train"
        raise MissingExtra(
            f"`eddycast {name}` needs {error.name}", f"pip install 'eddycast[{extra}]'"
        ) from error


def _load_or_explain(entry: EntryPoint) -> Callable[..., Any]:
    try:
        return _load(entry)
    except MissingExtra as error:

        def unavailable() -> None:
            pass

        unavailable.__doc__ = escape(str(error))
        return unavailable


if __name__ == "__main__":
    main()
