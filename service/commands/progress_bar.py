"""The progress bar of a command that handles a known number of readings."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def counting_bar(console: Console) -> Progress:
    """A bar that is shown on a terminal, and removed at the end."""
    bars = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*bars, console=console, transient=True, disable=not console.is_terminal)
