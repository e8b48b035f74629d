"""`python -m tests.accuracy`: the figures of docs/accuracy.md,
from the public data sets beside the repository.

Every case's record is kept in build/accuracy, and every trained bundle by what went into it:
a run does what changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # each case has a core of its own

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tests.accuracy.bundles import ROOT
from tests.accuracy.cases import PARTS, Case, cases
from tests.accuracy.measure import key_of, measure
from tests.accuracy.page import render

DATA = ROOT.parent / "shared" / "data"
BUILD = ROOT / "build" / "accuracy"
PAGE = ROOT / "docs" / "accuracy.md"


def main() -> int:
    """Measure what is asked for and changed, print the tables, write the page."""
    asked = _asked()
    if not asked.data.is_dir():
        print(f"no data sets in {asked.data}: name their folder with --data", file=sys.stderr)
        return 2
    kept = BUILD / ("quick" if asked.quick else "full")
    wanted = [case for case in cases(asked.quick) if case.part in asked.only]
    console = Console(highlight=False)
    todo = [case for case in wanted if _stale(case, kept)]
    failed = _measure_all(console, todo, asked, kept)
    text = render(
        PAGE.read_text(), [json.loads(path.read_text()) for path in sorted(kept.glob("*.json"))]
    )
    page = BUILD / "quick.md" if asked.quick else PAGE
    page.write_text(text)
    console.print(f"{len(wanted)} cases, written: {page}, {kept}")
    return int(failed)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of data sets")
    parser.add_argument(
        "--quick", action="store_true", help="a few cases, barely trained: minutes, another page"
    )
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time, a core each")
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(
            f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    return parts


def _stale(case: Case, kept: Path) -> bool:
    path = kept / f"{case.name}.json"
    return not path.is_file() or json.loads(path.read_text())["key"] != key_of(case)


def _measure_all(console: Console, todo: list[Case], asked: argparse.Namespace, kept: Path) -> bool:
    """Measure and keep; whether one failed. A failure is said, and the others go on."""
    kept.mkdir(parents=True, exist_ok=True)
    failed = False
    for case, outcome in _outcomes(console, todo, asked):
        if isinstance(outcome, BaseException):
            failed = True
            console.print(f"[bold]failed:[/bold] {case.name}: {outcome!r}")
            continue
        (kept / f"{case.name}.json").write_text(json.dumps(outcome, indent=1) + "\n")
    return failed


def _outcomes(
    console: Console, todo: list[Case], asked: argparse.Namespace
) -> Iterator[tuple[Case, dict[str, object] | BaseException]]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("measuring", total=len(todo))
        lost: list[Case] = []
        for case, outcome in _in_a_pool(todo, asked, asked.jobs):
            if isinstance(outcome, BrokenProcessPool):
                lost.append(case)
                continue
            bar.update(task, advance=1, description=case.name)
            yield case, outcome
        # a process that dies takes its pool along, whoever's case it was: each once more, alone
        for case in lost:
            bar.update(task, advance=1, description=case.name)
            yield from _in_a_pool([case], asked, 1)


def _in_a_pool(
    todo: list[Case], asked: argparse.Namespace, jobs: int
) -> Iterator[tuple[Case, dict[str, object] | BaseException]]:
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = {pool.submit(measure, case, asked.data, BUILD / "bundles"): case for case in todo}
        for future in as_completed(futures):
            yield futures[future], future.exception() or future.result()


if __name__ == "__main__":
    sys.exit(main())
