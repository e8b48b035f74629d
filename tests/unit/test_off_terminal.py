"""Away from a terminal no table loses a number, no line is broken, and no bar is written."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from eddycast.service.commands.progress_bar import counting_bar
from eddycast.service.humanize import line_width, table_width
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.report import figures_table
from eddycast.training.progress import scoring_bar, training_bar


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("kind", "written"), [(io.StringIO, False), (Terminal, True)])
def test_bars_are_for_terminals(kind: type[io.StringIO], written: bool) -> None:
    file = kind()
    console = Console(file=file, width=100)
    with training_bar(console, "training lstm") as report:
        report(1, 10, 0.5, 0.4)
    with scoring_bar(console, "rolling") as scored:
        scored(1, 10)
    with counting_bar(console) as progress:
        progress.advance(progress.add_task("replay", total=2))
    assert bool(file.getvalue()) is written


def test_a_table_in_a_file_keeps_names_and_numbers() -> None:
    name, file = "a-long-name-of-a-stream/" * 8, io.StringIO()
    numbers = {"mse": 123_456_789.0, "mae": 0.123, "wql": 0.456, "mase": 0.789, "coverage_80": 0.8}
    figure = Figure(model="lstm", horizon=24, origins=4_096, stream=name, task="task", **numbers)
    Console(file=file, width=table_width()).print(figures_table([figure], "rolling"))
    row = next(line for line in file.getvalue().splitlines() if "lstm" in line)
    assert all(word in row for word in (name, "123,456,789", "0.789", "4,096"))


def test_lines_are_as_long_as_a_terminal_and_endless_elsewhere() -> None:
    assert line_width(Terminal()) is None
    file, note = io.StringIO(), "note: " + "word " * 60
    Console(file=file, width=line_width(file)).print(note)
    assert file.getvalue().count("\n") == 1
