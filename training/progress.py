"""Progress bars of long work: training with its loss and the time left,
scoring with the number of readings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eddycast.training.fitting.recurrent import TrainingProgress


@contextmanager
def training_bar(console: Console, title: str) -> Iterator[TrainingProgress]:
    """A bar that stays on the screen when it ends; nothing is written to a file or pipe. Pass the
    yielded function to the training."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed:.0f}/{task.total:.0f}  loss "
            "{task.fields[loss]}  best {task.fields[best]}"
        ),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None, visible=False, loss="-", best="-")

        def report(done: int, total: int, loss: float, best: float) -> None:
            progress.update(
                task,
                completed=done,
                total=total,
                visible=True,
                loss=f"{loss:.4f}",
                best=f"{best:.4f}",
                refresh=False,
            )

        yield report


@contextmanager
def scoring_bar(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that disappears when it ends; nothing is written to a file or pipe. Pass the yielded
    function to the backtest."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} readings"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(title, total=None, visible=False)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield report
