"""The display of a running demo: a live table on a terminal,
a plain line every few seconds elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from eddycast.training.fitting.recurrent import TrainingProgress
from eddycast.training.progress import training_bar

#: Seconds between two lines without a terminal.
EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class StreamLine:
    """The row of one stream in the table."""

    name: str
    value: float | None
    one_step: list[float | None]  # low, median, high of the 80 % interval, one interval ahead
    multi_step: list[float | None]  # the same at the end of the horizon
    error: float  # running mean absolute error
    naive: float  # of the last value


@dataclass(frozen=True, slots=True)
class LiveState:
    """Everything on display at one moment."""

    when: str  # stream time
    share: float  # of the readings that have come
    streams: int
    forecasts: int
    rate: float  # records a second, lately
    p50: float  # seconds, record to forecast acknowledged
    p99: float
    lines: list[StreamLine] = field(default_factory=list)

    @property
    def against_naive(self) -> float:
        """Mean over the streams of the running error divided by the last value's;
        NaN before there is one."""
        ratios = [
            line.error / line.naive
            for line in self.lines
            if line.naive > 0 and not math.isnan(line.error)
        ]
        return sum(ratios) / len(ratios) if ratios else math.nan


class LiveView:
    """Displays states until the context ends."""

    def __init__(self, console: Console, horizon: str) -> None:
        self._console, self._horizon = console, horizon
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._said = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, view: LiveState) -> None:
        """Display a state; without a terminal, print a line if the last one is some seconds old."""
        if self._live:
            self._live.update(Group(_summary(view), _streams(view, self._horizon)))
        elif time.monotonic() - self._said > EVERY_S:
            self._said = time.monotonic()
            self._console.print(plain_line(view), soft_wrap=True)


def plain_line(view: LiveState) -> str:
    """A state as one line of text."""
    ratio = view.against_naive
    error = "no error yet" if math.isnan(ratio) else f"error {ratio:.2f} of last value's"
    return (
        f"{view.share:4.0%}  {view.when}  {view.streams} streams  {view.forecasts:,} forecasts  "
        f"{view.rate:,.0f}/s  p50 {_ms(view.p50)}  p99 {_ms(view.p99)}  {error}"
    )


@contextmanager
def training_progress(console: Console, what: str) -> Iterator[TrainingProgress]:
    """A bar on a terminal, a line every few seconds elsewhere;
    pass the yielded function to the training."""
    if console.is_terminal:
        with training_bar(console, what) as bar:
            yield bar
        return
    said = time.monotonic()

    def report(done: int, total: int, loss: float, best: float) -> None:
        nonlocal said
        if time.monotonic() - said > EVERY_S:
            said = time.monotonic()
            console.print(
                f"{what}: {done}/{total}, loss {loss:.4g}, best {best:.4g}", highlight=False
            )

    yield report


def _summary(view: LiveState) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 3, 0, 0))
    table.add_row(
        f"[bold]{view.when}[/bold]", f"{view.share:.0%} of the hold-out", f"{view.streams} streams"
    )
    table.add_row(
        f"{view.forecasts:,} forecasts",
        f"{view.rate:,.0f} records/s",
        f"p50 {_ms(view.p50)}  p99 {_ms(view.p99)}",
    )
    return table


def _streams(view: LiveState, horizon: str) -> Table:
    table = Table()
    table.add_column("stream")
    heads = ("now", "next (80 %)", f"in {horizon} (80 %)", "error lately", "naive's", "ratio")
    for head in heads:
        table.add_column(head, justify="right")
    for line in view.lines:
        ratio = line.error / line.naive if line.naive > 0 else math.nan
        cells = (_number(line.error), _number(line.naive), _number(ratio))
        table.add_row(
            line.name,
            _number(line.value),
            _interval(line.one_step),
            _interval(line.multi_step),
            *cells,
        )
    return table


def _interval(bounds: list[float | None]) -> str:
    low, median, high = map(_number, bounds)
    return f"{median} ({low} to {high})"


def _number(value: Any) -> str:
    return (
        "-"
        if value is None or math.isnan(value)
        else f"{value:.3g}"
        if abs(value) < 1000
        else f"{value:,.0f}"
    )


def _ms(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.1f} ms"
