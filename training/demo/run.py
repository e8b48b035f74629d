"""The demo, step by step: train, publish, stream, score."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration
from eddycast.service.history import History, read_history
from eddycast.service.observability.log import configure_log
from eddycast.service.output_files import check_writable
from eddycast.training.bundle_directory import install
from eddycast.training.data.interval import infer_interval
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.split import Split
from eddycast.training.demo.host import Host, start_host
from eddycast.training.demo.live_view import LiveState, LiveView, StreamLine, training_progress
from eddycast.training.demo.metrics_client import Snapshot, scrape
from eddycast.training.demo.options import DemoOptions
from eddycast.training.demo.output_reader import OutputReader
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.plot import require_matplotlib
from eddycast.training.evaluation.protocols.every_origin import ltsf_tasks
from eddycast.training.evaluation.protocols.task import TaskOptions
from eddycast.training.evaluation.report import figures_table, results, write_json
from eddycast.training.recipe import Recipe
from eddycast.training.train import train_bundle

DAY_MS = 86_400_000
SPLIT = ".75,.1,.15"
#: Length of the past that the service reads before the hold-out.
CATCH_UP_MS = 28 * DAY_MS
#: Seconds without a forecast after which the last ones are given up.
QUIET_S = 15.0
UNITS = {"buoy/water-temperature": "°C", "cgm/glucose": "mg/dL", "cgm/sensor-current": "nA"}


@dataclass(frozen=True, slots=True)
class Speed:
    """The throughput of a demo."""

    caught_up: int  # readings
    catch_up_rate: float  # readings a second, from sent to forecast
    streamed: int
    before: Snapshot | None
    after: Snapshot | None


def run_demo(options: DemoOptions, console: Console | None = None) -> list[Figure]:
    """Train, publish the bundle, stream the hold-out through the service, and score what comes out.

    The hold-out is streamed in about `options.seconds`: through a service in this process or, given
    `options.kafka`, through processes of their own over Kafka. Metrics are served at `options.port`
    meanwhile. `options.out` gets the bundle, the figures (demo.json), a picture (forecasts.png) and
    the log. Raises EddycastError.
    """
    require_matplotlib()
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    out = options.out
    check_writable(out / "demo.log")
    with (out / "demo.log").open("w") as log:
        configure_log("console", "info", log)
        panel, history, split = _read(options.data, console)
        manifest, bundle = _train(panel, split, options, console)
        host = start_host(options.kafka, bundle, options.port, out)
        try:
            console.print(
                f"[bold]3. Stream[/bold] {_where(options.kafka)}, metrics at {host.url}/metrics"
            )
            tasks = ltsf_tasks(panel, TaskOptions.of(manifest, split, DAY_MS))
            reader = OutputReader(host.consumer(), manifest, tasks)
            speed = _stream(host, reader, history, panel, split, options.seconds, console)
        finally:
            host.close()
    figures = reader.figures()
    _conclude(reader, figures, speed, options, console)
    return figures


def _read(source: str, console: Console) -> tuple[Panel, History, Split]:
    history = read_history(source)
    panel = make_panel(history, infer_interval(history))
    split = Split.parse(SPLIT, len(panel))
    interval, days = format_duration(panel.interval_ms), len(panel) * panel.interval_ms / DAY_MS
    console.print(
        f"[bold]1. Learn[/bold] from {source}: {len(panel.streams)} "
        f"streams, every {interval}, {days:.0f} days"
    )
    for note in panel.notes:
        console.print(f"   {note}", highlight=False, markup=False)
    return panel, history, split


def _train(
    panel: Panel, split: Split, options: DemoOptions, console: Console
) -> tuple[Manifest, Path]:
    """Train a bundle that forecasts a day ahead, and install it where the service looks for it."""
    out, horizon = options.out, DAY_MS // panel.interval_ms
    recipe = Recipe(
        options.family, horizon, seasons_ms=(DAY_MS,), seed=options.seed, epochs=options.epochs
    )
    started = time.monotonic()
    with training_progress(console, f"   training {recipe.family}") as report:
        manifest, _ = train_bundle(panel, recipe, split, out / "trained", report)
    bundle = install(out / "trained", out / "bundle")
    took, memory = (
        f"{time.monotonic() - started:.0f} s",
        f"{manifest.row_bytes:,} bytes of memory a stream",
    )
    console.print(
        f"[bold]2. Publish[/bold] {manifest.label} to "
        f"{bundle}: trained and scored in {took}, {memory}"
    )
    return manifest, bundle


def _stream(
    host: Host,
    reader: OutputReader,
    history: History,
    panel: Panel,
    split: Split,
    seconds: float,
    console: Console,
) -> Speed:
    """Catch up with the last weeks at once, then stream the hold-out at a pace."""
    start = int(panel.timestamps[split.validation_end])
    end = int(panel.timestamps[split.end - 1]) + panel.interval_ms
    past, live = history.between(start - CATCH_UP_MS, start), history.between(start, end)
    began = time.monotonic()
    sending = host.feed(past, 0.0)
    _follow(reader, len(past), sending)
    caught_up = reader.received
    rate = caught_up / (time.monotonic() - began)
    before = scrape(host.url)
    pace = (end - start) / 1000 / seconds
    sending = host.feed(live, pace)
    with LiveView(console, format_duration(reader.horizon_ms)) as live_view:
        display = Display(host, reader, live_view, before, len(past) + len(live))
        try:
            _follow(reader, len(past) + len(live), sending, display)
            display(last=True)
        except KeyboardInterrupt:
            console.print("   stopped early: the figures cover the readings so far")
    return Speed(caught_up, rate, reader.received - caught_up, before, scrape(host.url))


class Display:
    """Turns the progress into states for the display, a few times a second."""

    def __init__(
        self,
        host: Host,
        reader: OutputReader,
        live_view: LiveView,
        before: Snapshot | None,
        expected: int,
    ) -> None:
        self._host, self._reader, self._live_view, self._before = host, reader, live_view, before
        self._first, self._expected = reader.received, expected
        self._marks: deque[tuple[float, int]] = deque(
            [(time.monotonic(), reader.received)], maxlen=20
        )
        self._next = 0.0

    def __call__(self, last: bool = False) -> None:
        """Display the present state, unless another one was displayed just now and this is not the
        `last`."""
        now = time.monotonic()
        if now < self._next and not last:
            return
        self._next = now + 0.25
        self._marks.append((now, self._reader.received))
        (then, received), (_, latest) = self._marks[0], self._marks[-1]
        snapshot = scrape(self._host.url)
        waits = snapshot.end_to_end if snapshot else None
        if waits and self._before:
            waits = waits.since(self._before.end_to_end)
        view = LiveState(
            when=time.strftime("%Y-%m-%d %H:%M", time.gmtime(self._reader.now_ms / 1000)),
            share=(latest - self._first) / max(1, self._expected - self._first),
            streams=int(snapshot.streams) if snapshot else 0,
            forecasts=latest - self._first,
            rate=(latest - received) / max(now - then, 1e-9),
            p50=waits.quantile(0.5) if waits else float("nan"),
            p99=waits.quantile(0.99) if waits else float("nan"),
            lines=self._lines(),
        )
        self._live_view.show(view)

    def _lines(self) -> list[StreamLine]:
        lines = []
        for name, error, naive in self._reader.running():
            record: dict[str, Any] = self._reader.last.get(name, {})
            if record:
                levels = [record["quantiles"].index(level) for level in (0.1, 0.5, 0.9)]
                one, end = (
                    [row[i] for i in levels]
                    for row in (record["one_step"], record["multi_step"][-1])
                )
                lines.append(StreamLine(name, record["value"], one, end, error, naive))
        return lines


def _follow(
    reader: OutputReader, expected: int, sending: Any, display: Display | None = None
) -> None:
    """Read forecasts until there is one for each of the `expected` readings, or no more come."""
    arrived_s = time.monotonic()
    while reader.received < expected:
        if reader.poll(0.1) or sending():
            arrived_s = time.monotonic()
        elif time.monotonic() - arrived_s > QUIET_S:
            return
        if display:
            display()


def _conclude(
    reader: OutputReader,
    figures: list[Figure],
    speed: Speed,
    options: DemoOptions,
    console: Console,
) -> None:
    """Print the tables, and write the figures and the picture."""
    out, source = options.out, options.data
    console.print("[bold]4. Accuracy and speed[/bold]")
    console.print(figures_table(figures, "ltsf", "the forecasts of the output topic"))
    console.print(_speed_table(speed))
    write_json(out / "demo.json", results("ltsf", source, figures))
    picture = out / "forecasts.png"
    reader.gallery.draw(
        picture, f"{source}: forecasts of the service against observed values", UNITS
    )
    console.print(f"picture: {picture}   figures: {out / 'demo.json'}   log: {out / 'demo.log'}")


def _speed_table(speed: Speed) -> Table:
    table = Table(title="speed", title_justify="left", show_header=False)
    table.add_row(
        "caught up with", f"{speed.caught_up:,} readings at {speed.catch_up_rate:,.0f} a second"
    )
    table.add_row("then streamed", f"{speed.streamed:,} readings at the pace of the demo")
    if speed.before and speed.after:
        named = (("polled", "service"), ("record time", "end_to_end"))
        for head, attribute in named:
            waits = getattr(speed.after, attribute).since(getattr(speed.before, attribute))
            levels = (
                f"p{level:g} {waits.quantile(level / 100) * 1000:.1f} ms" for level in (50, 99)
            )
            table.add_row(f"{head} to forecast acknowledged", "  ".join(levels))
    return table


def _where(kafka: str | None) -> str:
    return (
        "in this process"
        if kafka is None
        else f"over Kafka at {kafka}, `eddycast serve` and `eddycast simulate`"
    )
