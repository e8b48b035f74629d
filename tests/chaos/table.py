"""The table of a run: count, duration and cost by kind of fault."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.chaos.driver import Result

_HEAD = f"{'fault':12}{'times':>7}{'median s':>10}{'worst s':>9}{'lost':>7}{'twice':>7}{'other':>7}"


def table(results: Sequence[Result]) -> str:
    """A line a kind, one for all, and one for rows of state,
    which no single fault is to blame for."""
    kinds = dict.fromkeys(outcome.fault.kind for result in results for outcome in result.outcomes)
    lines = [_HEAD, *(_line(kind, results) for kind in sorted(kinds)), _line(None, results)]
    rows = sum(
        difference.kind == "row" for result in results for difference, _ in result.differences
    )
    records = sum(result.records for result in results)
    failed = sum(len(result.failed) for result in results)
    lines.append(
        f"{records} records sent; {rows} rows of state differ; {failed} workers ended by themselves"
    )
    return "\n".join(lines)


def is_clean(results: Sequence[Result]) -> bool:
    """True if no result has a difference and all runs finished."""
    return bool(results) and not any(result.differences or result.stuck for result in results)


def _line(kind: str | None, results: Sequence[Result]) -> str:
    """The row of one kind of fault; None = of all together."""
    outcomes = [o for result in results for o in result.outcomes if kind in (None, o.fault.kind)]
    found = [
        difference.kind
        for result in results
        for difference, fault in result.differences
        if kind is None or (fault is not None and fault.kind == kind)
    ]
    seconds = [outcome.recovered - outcome.began for outcome in outcomes] or [0.0]
    lost, twice = found.count("lost"), found.count("twice")
    other = len(found) - lost - twice - found.count("row")
    times = f"{len(outcomes):7}{median(seconds):10.2f}{max(seconds):9.2f}"
    return f"{kind or 'all':12}{times}{lost:7}{twice:7}{other:7}"
