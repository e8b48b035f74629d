"""The output of `eddycast models compare`, as text or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eddycast.service.commands.state_request import say
from eddycast.service.comparison.compare import Comparison, Measure, OneSeries, Result
from eddycast.service.comparison.overlap import Overlap
from eddycast.service.humanize import one_line, some, table_width

#: Labels of the models of champion and challenger; several if a topic has seen a promotion.
Models = tuple[tuple[str, ...], tuple[str, ...]]
_ROLES = ("champion", "challenger")
_WORDS = {"error": "scaled error", "pinball": "scaled quantile loss"}


def show(
    models: Models, overlap: Overlap, found: Comparison, over_leads: Result | None, most: int
) -> None:
    """Print a comparison, with `most` of its streams."""
    champion, challenger = (some([one_line(name) for name in one]) for one in models)
    start, end = (
        datetime.fromtimestamp(ms / 1000, UTC) for ms in (overlap.start_ms, overlap.end_ms)
    )
    say(f"champion {champion}, challenger {challenger}, {start:%F %R} to {end:%F %R} UTC")
    if found.left_out:
        say(f"left out, as their readings never change: {found.left_out:,} series")
    console = Console(width=table_width(), highlight=False)
    results = {"one step ahead": found.result}
    results |= {"over all leads": over_leads} if over_leads else {}
    for title, result in results.items():
        say(f"{title}: {result.verdict}")
        console.print(_table(result, overlap))
    if most and len(found.series) > 1:
        console.print(_streams(found.series, most))


def facts(
    models: Models, overlap: Overlap, found: Comparison, over_leads: Result | None
) -> dict[str, Any]:
    """The comparison for programs; differences are [relative, low, high]."""
    return {
        "models": {role: list(labels) for role, labels in zip(_ROLES, models, strict=True)},
        "from_ms": overlap.start_ms,
        "until_ms": overlap.end_ms,
        "quantiles": list(overlap.levels),
        "block_ms": overlap.block * overlap.interval_ms,
        "series": len(found.series),
        "left_out": found.left_out,
        "one_step": _result(found.result),
        "multi_step": None if over_leads is None else _result(over_leads),
        "by_stream": [
            {
                "stream": one.stream,
                "target": one.target or None,
                "forecasts": one.forecasts,
                "measures": _measures(one.measures),
            }
            for one in found.series
        ],
    }


def _table(result: Result, overlap: Overlap) -> Table:
    table = Table("", "champion", "challenger", "the challenger's is", box=None)
    for name, measure in result.measures.items():
        table.add_row(_WORDS[name], *_cells(measure))
    inside = f"inside the {overlap.levels[-1] - overlap.levels[0]:.0%} interval"
    table.add_row(inside, *(f"{share:.1%}" for share in result.coverage), "")
    table.add_row("forecasts", f"{result.forecasts:,}", f"{result.forecasts:,}", "")
    return table


def _streams(series: Sequence[OneSeries], most: int) -> Table:
    """The series with the largest differences of the quantile loss."""
    ranked = sorted(series, key=lambda one: -abs(one.measures["pinball"].difference.relative))
    notable = [one.measures["pinball"].difference for one in series]
    better = sum(one.exceeds_noise and one.relative < 0 for one in notable)
    worse = sum(one.exceeds_noise and one.relative > 0 for one in notable)
    title = f"scaled quantile loss by series: {better:,} better beyond chance, {worse:,} worse"
    title += f" (of {len(series):,}; chance alone gives {0.025 * len(series):.3g} on each side)"
    heads = ("stream", "forecasts", "champion", "challenger", "the challenger's is")
    table = Table(*heads, box=None, title=title, title_justify="left")
    for one in ranked[:most]:
        name = one_line(f"{one.stream} {one.target}".strip())
        table.add_row(escape(name), f"{one.forecasts:,}", *_cells(one.measures["pinball"]))
    return table


def _cells(measure: Measure) -> tuple[str, str, str]:
    champion, challenger, difference = measure
    return f"{champion:.4g}", f"{challenger:.4g}", difference.text


def _result(result: Result) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "forecasts": result.forecasts,
        "blocks": result.blocks,
        "measures": _measures(result.measures),
        "coverage": dict(zip(_ROLES, result.coverage, strict=True)),
    }


def _measures(measures: dict[str, Measure]) -> dict[str, Any]:
    return {
        name: {
            "champion": measure.champion,
            "challenger": measure.challenger,
            "difference": list(measure.difference),
        }
        for name, measure in measures.items()
    }
