"""`python -m deploy.stack`: the whole picture on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import closing
from pathlib import Path

from rich.console import Console

from deploy.stack.bundle import TrainedBundle
from deploy.stack.folder import run_folder
from deploy.stack.programs import Layout, Ports
from deploy.stack.run import ProcessDied, Stack
from deploy.stack.screen import Screen
from deploy.stack.watching import Installed
from eddycast.service.signals import StopSignals

#: Exit code when a process ended unasked.
DIED = 1


def main() -> int:
    """Run the stack; returns its exit code. A second Ctrl-C kills what has not stopped yet."""
    arguments = _arguments()
    trained = None if arguments.bundle else TrainedBundle()
    ports = Ports.chosen(
        arguments.kafka_port,
        arguments.monitor_port,
        arguments.prometheus_port,
        arguments.metrics_port,
        arguments.alertmanager_port,
    )
    with (
        run_folder() as folder,
        Screen(Console()) as screen,
        StopSignals(lambda _why: running.kill()) as signals,
    ):
        bundle = trained.model if trained else arguments.bundle
        layout = Layout(ports, bundle, folder.path, Installed.found())
        running = Stack(folder, screen, signals.stop)
        try:
            with closing(running):
                _run(running, layout, trained, screen, arguments.seconds)
        except ProcessDied as error:
            screen.report(error.process)
            return DIED
    return 0


def _run(
    running: Stack,
    layout: Layout,
    trained: TrainedBundle | None,
    screen: Screen,
    seconds: float,
) -> None:
    """Start everything and watch over it. Raises ProcessDied."""
    train = trained is not None and not trained.is_current()
    if trained is not None and train:
        trained.clear()
    first, *others = layout.groups(train)
    if not running.start(first):
        return
    if trained is not None and train:
        trained.keep()
    if all(running.start(group) for group in others):
        screen.note(layout.summary())
        running.watch(seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.stack",
        description="Run Kafka, two services, sensors of real data and the monitor on this machine "
        "until Ctrl-C. A model is trained first and kept in build/stack/bundle.",
    )
    for name, what in (
        ("kafka", "Kafka"),
        ("monitor", "the monitor's page"),
        ("metrics", "the first service's metrics; the second's is the next"),
        ("prometheus", "Prometheus"),
        ("alertmanager", "Alertmanager"),
    ):
        parser.add_argument(
            f"--{name}-port", type=int, default=0, help=f"port of {what} (default: a free one)"
        )
    parser.add_argument(
        "--bundle", type=Path, help="serve the bundle in this directory and train nothing"
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="stop this long after everything was ready (default: at Ctrl-C)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
