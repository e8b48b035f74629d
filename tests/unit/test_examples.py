"""The example at the end of every command's help is a command line that the program takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer.main

from eddycast.service.__main__ import GROUP, OWN, build_app
from eddycast.service.settings.load import load_settings

NAMES = sorted({*OWN, *(entry.name for entry in entry_points(group=GROUP))})


def group_of(name: str) -> Any:
    return typer.main.get_command(build_app([name]))


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands below `command` that do something, with the words that lead to them."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, inner in below.items():
        yield from commands(inner, (*path, name))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_can_be_parsed(name: str) -> None:
    for path, command in commands(group_of(name).commands[name], (name,)):
        _, found, example = (command.help or "").partition("Example: ")
        assert found, f"{' '.join(path)} has no example"
        program, *words = shlex.split(example)
        assert program == "eddycast" and tuple(words[: len(path)]) == path
        with command.make_context(path[-1], words[len(path) :]) as context:
            flags = [word for word in context.args if not word.endswith(".jsonl")]
            load_settings(flags, {})


def test_a_misspelt_option_would_be_noticed() -> None:
    command = group_of("simulate").commands["simulate"]
    with (
        pytest.raises(Exception, match="--sped"),
        command.make_context("simulate", ["readings.csv", "--sped", "60"]),
    ):
        pass
