"""The status of all processes: a table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.stack.process import Phase, Process

_STYLES = {Phase.STARTING: "yellow", Phase.READY: "green", Phase.DIED: "bold red"}


class Screen:
    """Shows processes and notes until the context ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._shown: dict[str, Phase] = {}
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, processes: Sequence[Process]) -> None:
        """Display the phases."""
        changed = [
            process
            for process in processes
            if self._shown.get(process.program.name) != process.phase
        ]
        self._shown |= {process.program.name: process.phase for process in changed}
        if self._live:
            self._live.update(Group(_table(processes), *map(Text, self._notes)))
        else:
            for process in changed:
                self._print(_line(process))

    def note(self, lines: Sequence[str]) -> None:
        """Display lines beneath the processes."""
        self._notes += lines
        if not self._live:
            for line in lines:
                self._print(line)

    def report(self, process: Process) -> None:
        """Display how a process ended and its last lines."""
        self._print(f"{process.program.name} ended: {process.why()}; its last lines:")
        for line in process.last_lines():
            self._print(f"    {line}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _line(process: Process) -> str:
    address = process.program.address if process.phase is Phase.READY else ""
    return f"{process.program.name:<14}{process.phase:<10}{address}".rstrip()


def _table(processes: Sequence[Process]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for process in processes:
        phase = Text(process.phase, style=_STYLES.get(process.phase, "dim"))
        table.add_row(process.program.name, phase, process.program.address)
    return table
