"""Looking at the page in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium is installed (Debian: chromium)"
)
PATIENCE_MS = 90_000
#: `visit(board, path, **context)` opens the page of a board.
Visit = Callable[..., Page]


def lines(page: Page) -> list[list[str]]:
    """Exact values of the table of streams."""
    expect(page.locator("#rows tr").first).to_be_visible()
    found: list[list[str]] = page.eval_on_selector_all(
        "#rows tr", "rows => rows.map(row => [...row.querySelectorAll('data')].map(d => d.value))"
    )
    return found


def compare_chart(page: Page, records: Sequence[Mapping[str, Any]]) -> None:
    """The chart shows the readings, forecasts and expectations of one stream's records."""
    data = page.evaluate(
        "() => document.getElementById('chart').data.map(t => ({name: t.name, y: [...t.y]}))"
    )
    drawn = {trace["name"]: trace["y"] for trace in data if trace.get("name")}
    assert drawn["reading"] == [record["value"] for record in records]
    assert drawn["forecast"] == [step[1] for step in records[-1]["multi_step"]]
    assert drawn["expected"][1:] == pytest.approx(
        [record["one_step"][1] for record in records[:-1]], rel=1e-5, abs=1e-5
    )


def chosen(page: Page) -> None:
    expect(page.locator("#chart .main-svg").first).to_be_visible()
