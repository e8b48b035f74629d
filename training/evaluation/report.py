"""The figures of a backtest for people (a table, remarks) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from eddycast.service.bundle import BacktestFigure, Manifest
from eddycast.service.comparison.significance import Difference
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.gift import geometric_means
from eddycast.training.evaluation.protocols.table import protocol_of

_MEASURES = ("mse", "mae", "wql", "mase", "coverage_80")
_KEPT = set(BacktestFigure.model_fields)
_HEADS = {"mse": "MSE", "mae": "MAE", "wql": "WQL", "mase": "MASE", "coverage_80": "in 80 %"}


def results(protocol: str, data: str, figures: Sequence[Figure]) -> dict[str, Any]:
    """`{"protocol", "data", "results": [{"model", "horizon", "origins", "mse", "mae", "wql",
    "mase", "coverage_80"}]}`.

    A measure that does not apply is None. A figure has further keys where they apply: `stream` (of
    one stream), `task`, `unscaled` (streams that MASE leaves out), `against` (`{baseline: {measure:
    [relative difference, low, high]}}`, a 95 % interval), `relative_mase` and `relative_wql`.
    """
    return {
        "protocol": protocol,
        "data": Path(data).name,
        "results": [_record(figure) for figure in figures],
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content`, indented; create the folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def manifest_figures(figures: Sequence[Figure]) -> tuple[BacktestFigure, ...]:
    """The figures of all streams together, as a manifest keeps them."""
    return tuple(
        BacktestFigure(**figure.model_dump(include=_KEPT))
        for figure in figures
        if figure.stream is None
    )


def figures_table(figures: Sequence[Figure], protocol: str, title: str = "hold-out") -> Table:
    """One row a figure, with tasks and horizons apart, and the smallest error of each in bold."""
    table = Table(
        title=f"{escape(title)}: {protocol}, {protocol_of(protocol).measured_on}",
        title_justify="left",
    )
    names = [
        name for name in ("stream", "task") if any(getattr(figure, name) for figure in figures)
    ]
    related = any(figure.relative_mase for figure in figures)
    for name in (*names, "model"):
        table.add_column(name, overflow="fold")
    for name in (
        "horizon",
        "origins",
        *_HEADS.values(),
        *(("rel. MASE", "rel. WQL") if related else ()),
    ):
        table.add_column(name, justify="right")
    groups = [(figure.task, figure.horizon, figure.stream) for figure in figures]
    for i, figure in enumerate(figures):
        rivals = [rival for rival, group in zip(figures, groups, strict=True) if group == groups[i]]
        table.add_row(
            *(escape(getattr(figure, name) or "all") for name in names),
            escape(figure.model),
            f"{figure.horizon}",
            f"{figure.origins:,}",
            *(_cell(figure, measure, rivals) for measure in _MEASURES),
            *((number(figure.relative_mase), number(figure.relative_wql)) if related else ()),
            end_section=i + 1 == len(figures) or groups[i + 1] != groups[i],
        )
    return table


def remarks(figures: Sequence[Figure], protocol: str) -> list[str]:
    """Lines beside the table: differences to the baselines with their intervals, streams without
    MASE, and the mean of relative scores."""
    lines = []
    measure = protocol_of(protocol).main
    for figure in figures:
        for rival, found in figure.against.items():
            if measure in found:
                where = figure.task or f"{figure.horizon} ahead"
                lines.append(
                    f"{where}: {_HEADS[measure]} of {figure.model} {say(found[measure])} {rival}'s"
                )
    unscaled = sorted({name for figure in figures for name in figure.unscaled})
    if unscaled:
        lines.append(
            "no MASE, never a seasonal change (or no value) "
            f"before the hold-out: {', '.join(unscaled)}"
        )
    for model in dict.fromkeys(figure.model for figure in figures):
        mean = geometric_means(figures, model)
        if mean:
            lines.append(
                "relative to the published seasonal naive: "
                f"{model} MASE {mean.mase:.3f}, WQL {mean.wql:.3f}"
            )
    return lines


def say(difference: Difference) -> str:
    """A difference and its interval as text."""
    amount = f"{abs(difference.relative):.1%} {'below' if difference.relative < 0 else 'above'}"
    if difference.low is None or difference.high is None:
        return f"{amount} (too few separate origins for an interval)"
    interval = f"95 %: {difference.low:+.1%} to {difference.high:+.1%}"
    return f"{amount} ({interval}{'' if difference.exceeds_noise else ', may be noise'})"


def weights_remark(manifest: Manifest) -> str:
    """A remark about the data that the weights and the figures of a bundle rest on."""
    record = manifest.training
    if record is None or record.holdout_start_ms is None:
        return "the bundle does not record the data that its figures rest on"
    if not record.refit and record.holdout_start_ms <= record.end_time_ms:
        return "each stream was scored on the end of its own length, which the weights did not see"
    if not record.refit:
        return (
            f"the weights saw nothing after {_day(record.end_time_ms)}, where the hold-out begins"
        )
    return (
        f"scored without the hold-out, from {_day(record.holdout_start_ms)} on; then fitted once "
        f"more on everything, up to {_day(record.end_time_ms)} (--no-refit leaves that out)"
    )


def seen_remark(manifest: Manifest, panel: Panel, split: Split) -> str:
    """A warning if the weights saw readings of the time that a backtest scores; else empty."""
    start, record = int(panel.timestamps[split.validation_end]), manifest.training
    if record is None or record.end_time_ms < start:
        return ""
    return (
        f"the weights saw readings up to {_day(record.end_time_ms)}, scored is from {_day(start)} "
        "on: if these are the readings that it learned from, the figures flatter (a bundle of "
        "`train --no-refit` has not seen its hold-out)"
    )


def _day(milliseconds: int) -> str:
    return str(np.datetime64(milliseconds, "ms").astype("M8[s]"))


def number(value: float | None) -> str:
    """Three decimals below 1, four digits above; `-` for None."""
    if value is None:
        return "-"
    return (
        f"{value:.3f}"
        if abs(value) < 1
        else f"{value:#.4g}"
        if abs(value) < 1000
        else f"{value:,.0f}"
    )


def _record(figure: Figure) -> dict[str, Any]:
    further = set(Figure.model_fields) - _KEPT
    empty = {name for name in further if getattr(figure, name) in (None, "", (), {})}
    return figure.model_dump(mode="json", exclude=empty)


def _cell(figure: Figure, measure: str, rivals: Sequence[Figure]) -> str:
    value: float | None = getattr(figure, measure)
    text = number(value)
    if value is None or measure == "coverage_80" or len(rivals) == 1:
        return text
    best = min(other for rival in rivals if (other := getattr(rival, measure)) is not None)
    return f"[bold]{text}[/bold]" if value == best else text
