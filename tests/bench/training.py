"""Seconds and memory of a training: `python -m tests.bench.training [STREAMSxREADINGS ...]`.

Streams of hours with the season of a day, a few of them silent now and then. Every size runs in a
process of its own, whose peak is what the operating system counted. By default the forecaster is
fitted as `eddycast train` does first; `--whole` exports it, scores it and fits it again as well.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.without_suspects import screened
from eddycast.training.problems import problem_of, with_seasons
from eddycast.training.recipe import Recipe
from eddycast.training.train import train_bundle
from tests.bench.process import run
from tests.bench.report import show

SIZES = ("100x2000", "1000x2000", "1000x20000", "10000x2000")
HOUR, START_MS = 3_600_000, 1_700_000_000_000 // 3_600_000 * 3_600_000
SILENT = 0.02  # share of the streams with outages


def main() -> None:
    """Run every size, print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training", description=__doc__)
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="STREAMSxREADINGS")
    parser.add_argument("--family", default="ar")
    parser.add_argument("--whole", action="store_true", help="export, score and fit again too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.family, whole=given.whole)))
        return
    rows = []
    for size in given.sizes:
        options = ["--one", size, "--family", given.family, *["--whole"][: given.whole]]
        found = run(["tests.bench.training", *options])
        rows.append([size, *(f"{found[key]:,.0f}" for key in ("panel", "peak", "wall", "cpu"))])
    show(
        f"Training of {given.family}, horizon 24",
        ["streams x readings", "panel MB", "peak MB", "seconds", "CPU seconds"],
        rows,
    )


def measure(size: str, family: str, *, whole: bool) -> dict[str, float]:
    """One training in this process: megabytes and seconds."""
    panel = made(*map(int, size.split("x")))
    split = Split.parse(None, len(panel))
    recipe = with_seasons(Recipe(family, 24), panel, split)
    wall, cpu = time.perf_counter(), time.process_time()
    if whole:
        with tempfile.TemporaryDirectory() as folder:
            train_bundle(panel, recipe, split, Path(folder) / "bundle", refit=True)
    else:
        problem, _ = screened(problem_of(panel, recipe, split))
        fit_family(family, problem, Plan())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"panel": panel.values.nbytes / 1e6, "peak": peak / 1e6, "wall": wall, "cpu": cpu}


def made(streams: int, readings: int) -> Panel:
    """Random streams on a grid of hours."""
    random, hours = np.random.default_rng(1), np.arange(readings)
    phase, size = random.random((2, streams, 1))
    values = np.empty((streams, readings))
    for s in range(streams):
        noise = np.convolve(random.normal(size=readings), 0.7 ** np.arange(12), "same")
        values[s] = 20 + (1 + size[s]) * np.sin(2 * np.pi * (hours / 24 + phase[s])) + 0.2 * noise
    for s in random.choice(streams, max(1, int(SILENT * streams)), replace=False):
        start = random.integers(0, readings - 12)
        values[s, start : start + 12] = np.nan
    stamps = START_MS + hours * HOUR
    return Panel([f"sensor-{s}" for s in range(streams)], stamps, values, HOUR)


if __name__ == "__main__":
    main()
