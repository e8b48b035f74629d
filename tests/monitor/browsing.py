"""Looking at the page in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable

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


def chosen(page: Page) -> None:
    expect(page.locator("#chart .main-svg").first).to_be_visible()
