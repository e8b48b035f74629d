"""Figures of a backtest for people (a table) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from service.bundle import BacktestFigure
from training.metrics import Figure

_MEASURES = ("mse", "mae", "wql", "mase", "coverage_80")
_HEADS = {"mse": "MSE", "mae": "MAE", "wql": "WQL", "mase": "MASE", "coverage_80": "in 80 %"}
#: What the figures of a protocol are measured on, as the table says it.
_SCALES = {"rolling": "raw values", "ltsf": "each stream z-scored by its train part"}


def results(protocol: str, data: str, figures: Sequence[Figure]) -> dict[str, Any]:
    """`{"protocol", "data", "results": [{"model", "horizon", "origins", "mse", "mae", "wql", "mase", "coverage_80"}]}`.

    A measure that does not apply is None; a figure of one stream has the further key `stream`.
    """
    return {"protocol": protocol, "data": Path(data).name, "results": [_record(figure) for figure in figures]}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content`, indented, and make the folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def manifest_figures(figures: Sequence[Figure]) -> tuple[BacktestFigure, ...]:
    """The pooled figures, as a manifest keeps them."""
    return tuple(BacktestFigure(**figure.model_dump(exclude={"stream"})) for figure in figures if figure.stream is None)


def figures_table(figures: Sequence[BacktestFigure], protocol: str, title: str = "hold-out") -> Table:
    """One row a figure, horizons apart, the smallest error of each horizon in bold."""
    table = Table(title=f"{title}: {protocol}, {_SCALES[protocol]}", title_justify="left")
    streams = any(getattr(figure, "stream", None) for figure in figures)
    for name in (*(["stream"] if streams else []), "model"):
        table.add_column(name, overflow="fold")
    for name in ("horizon", "origins", *_HEADS.values()):
        table.add_column(name, justify="right")
    groups = [(figure.horizon, getattr(figure, "stream", None)) for figure in figures]
    for i, figure in enumerate(figures):
        rivals = [rival for rival, group in zip(figures, groups, strict=True) if group == groups[i]]
        cells = [_cell(figure, measure, rivals) for measure in _MEASURES]
        table.add_row(
            *([groups[i][1] or "all"] if streams else []),
            figure.model,
            f"{figure.horizon}",
            f"{figure.origins:,}",
            *cells,
            end_section=i + 1 == len(figures) or groups[i + 1] != groups[i],
        )
    return table


def _record(figure: Figure) -> dict[str, Any]:
    record = figure.model_dump()
    if figure.stream is None:
        del record["stream"]
    return record


def _cell(figure: BacktestFigure, measure: str, rivals: Sequence[BacktestFigure]) -> str:
    value: float | None = getattr(figure, measure)
    if value is None:
        return "-"
    text = f"{value:.3f}" if abs(value) < 1 else f"{value:#.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if measure == "coverage_80" or len(rivals) == 1:
        return text
    best = min(other for rival in rivals if (other := getattr(rival, measure)) is not None)
    return f"[bold]{text}[/bold]" if value == best else text
