"""The page for everybody: an audit, light and dark, a phone's width, the keyboard."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.monitor.browsing import NEEDS_CHROMIUM, Visit, chosen, lines
from tests.monitor.records import board, forecast, walks

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]


@pytest.mark.parametrize(
    "context",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}],
    ids=["light", "dark", "phone"],
)
@pytest.mark.parametrize("path", ["/", "/#stream=a"])
def test_an_audit_for_accessibility_finds_nothing(
    visit: Visit, path: str, context: dict[str, Any]
) -> None:
    now = time.time_ns() // 1_000_000
    rng = np.random.default_rng(1)
    late = [forecast("late", s, 1.0, rng, timestamp=now - (200 - s) * 60_000) for s in range(20)]
    page = visit(board(walks(["a"], 30) + late, forget_after_s=10**9), path, **context)
    lines(page)
    expect(page.locator("#leads tr").first).to_be_visible()
    if "stream" in path:
        chosen(page)
    audit = Axe().run(page).response
    assert audit["passes"]
    found = audit["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_a_phone_shows_it_all_without_scrolling_sideways(visit: Visit) -> None:
    page = visit(board(walks(["a", "b"], 60)), "/#stream=a", viewport={"width": 390, "height": 844})
    chosen(page)
    lines(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_everything_is_reached_by_the_keyboard_and_has_a_name(visit: Visit) -> None:
    page = visit(board(walks(["a"], 30)), "/#stream=a")
    chosen(page)
    lines(page)
    nameless = page.eval_on_selector_all(
        "a, button, input, select, [role=img], [role=region]",
        """nodes => nodes.filter(n => n.checkVisibility() && !(n.textContent.trim()
             || n.getAttribute('aria-label') || n.labels?.length)).map(n => n.outerHTML)""",
    )
    assert nameless == []
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => document.activeElement.id || document.activeElement.tagName")
        )
    assert {"pause", "search", "sort", "window", "A", "span", "earlier"} <= reached
    label = page.locator("#chart").get_attribute("aria-label") or ""
    assert "readings from" in label and "UTC" in label
