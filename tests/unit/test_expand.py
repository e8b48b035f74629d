"""Dataclasses as options of a command: defaults,
meanings and conversions stand in the dataclass alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from eddycast.service.commands.expand import expand_options
from eddycast.service.settings.cli_option import Option


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@dataclass(frozen=True)
class Fit:
    lags: Annotated[int, Option("Past values.", min=2)] = 48
    linear: Annotated[bool, Option("Leave out the linear path.", (" /--no-linear",))] = True
    members: Annotated[tuple[str, ...], Option("Families, separated by commas.")] = ("lstm", "ar")
    targets: Annotated[tuple[str, ...] | None, Option("Channels.", shown_default="all")] = None
    budget_s: Annotated[float | None, Option("Time.", ("--budget",), parse=_seconds)] = None
    first: Annotated[bool | None, Option("First or last.", ("--first/--last",))] = None
    internal: int = 7


def invoked(*words: str) -> tuple[Fit, str]:
    """The dataclass that a command receives, and the command's own argument."""
    seen: list[tuple[Fit, str]] = []
    app = typer.Typer()

    @app.command()
    @expand_options
    def command(
        fit: Annotated[Fit, "Fitting"], own: Annotated[str, typer.Argument()] = "x"
    ) -> None:
        seen.append((fit, own))

    outcome = CliRunner().invoke(app, list(words))
    assert outcome.exit_code == 0, outcome.output
    return seen[0]


def test_defaults_are_those_of_the_dataclass() -> None:
    assert invoked() == (Fit(), "x")


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        (["--lags", "3"], Fit(lags=3)),
        (["--no-linear"], Fit(linear=False)),
        (["--members", "gru, rnn"], Fit(members=("gru", "rnn"))),
        (["--targets", "a"], Fit(targets=("a",))),
        (["--budget", "60s"], Fit(budget_s=60.0)),
        (["--last"], Fit(first=False)),
    ],
)
def test_an_option_sets_its_field(words: list[str], fit: Fit) -> None:
    assert invoked(*words, "y") == (fit, "y")


def test_help_groups_options_under_their_title() -> None:
    app = typer.Typer()

    @app.command()
    @expand_options
    def command(fit: Annotated[Fit, "Fitting"]) -> None: ...

    text = (
        CliRunner().invoke(app, ["--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).output
    )
    assert "Fitting" in text
    for shown in ("--lags", "48", "--no-linear", "lstm,ar", "(all)", "--budget", "Past values."):
        assert shown in text
    assert "internal" not in text


def test_a_value_below_its_minimum_is_a_usage_error() -> None:
    app = typer.Typer()

    @app.command()
    @expand_options
    def command(fit: Fit) -> None: ...

    assert CliRunner().invoke(app, ["--lags", "1"]).exit_code == 2
