"""Results as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eddycast.service.humanize import table_width


@dataclass(frozen=True)
class Result:
    """One figure. `ratios` is how many times each other contender's this is;
    `rounds` what the median is of."""

    name: str
    value: float
    unit: str
    ratios: dict[str, float] = field(default_factory=dict)
    rounds: tuple[float, ...] = ()

    def as_json(self) -> dict[str, object]:
        plain: dict[str, object] = {
            "name": self.name,
            "value": round(self.value, 2),
            "unit": self.unit,
        }
        if self.ratios:
            plain["ratios"] = {name: round(ratio, 2) for name, ratio in self.ratios.items()}
        if self.rounds:
            plain["rounds"] = [round(value, 1) for value in self.rounds]
        return plain


def write_json(results: Sequence[Result], path: Path) -> None:
    """`{"results": [{"name", "value", "unit", "ratios"?, "rounds"?}, ...]}`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"results": [result.as_json() for result in results]}, indent=1) + "\n"
    )


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left", caption=note or None, caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=table_width()).print(table)
