"""The page in a real headless Chromium: numbers, names, clicks, dark, a phone's width."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.decode import Decoder, by_position
from tests.monitor.records import batch, board, forecast, walks
from tests.monitor.serving import TOKEN, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (Debian: chromium)"),
]
PATIENCE_MS = 90_000
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>document.title='taken'</script>",
    "\"quotes' & ampersands;",
    "line\nbreak\ttab",
    "\u202egnp.exe\u202c direction",
    "x" * 10_000,
    "../../etc/passwd",
    "#stream=other&sort=worst",
    "naïve 流れ 😀",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


Visit = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """`visit(board, path, **context)` opens the page of a board. At the end no page may have
    reported an error."""
    errors: list[str] = []
    with ExitStack() as stack:

        def go(shown: Board, path: str = "/", token: str | None = None, **context: Any) -> Page:
            url = stack.enter_context(served(shown, token))
            opened = browser.new_context(**{"viewport": {"width": 1300, "height": 900}} | context)
            stack.callback(opened.close)
            page = opened.new_page()
            page.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("dialog", lambda dialog: errors.append(dialog.message))
            page.on(
                "console",
                lambda said: errors.append(said.text) if said.type == "error" else None,
            )
            page.goto(url + path)
            return page

        yield go
    # the browser reports each refusal for want of a token, and it is the page's own business
    assert [error for error in errors if "401" not in error] == []


def lines(page: Page) -> list[list[str]]:
    """Exact values of the table of streams."""
    expect(page.locator("#rows tr").first).to_be_visible()
    found: list[list[str]] = page.eval_on_selector_all(
        "#rows tr", "rows => rows.map(row => [...row.querySelectorAll('data')].map(d => d.value))"
    )
    return found


def chosen(page: Page) -> None:
    expect(page.locator("#chart .main-svg").first).to_be_visible()


def test_the_numbers_are_those_of_the_records(visit: Visit) -> None:
    records = walks(["a", "b", "c"], 60, missing=0.0)
    page = visit(board(records))
    last = records[-3:]
    shown = lines(page)
    assert [float(line[0]) for line in shown] == [record["value"] for record in last]
    assert [float(line[2]) for line in shown] == pytest.approx(
        [record["one_step"][1] for record in last], rel=1e-6, abs=1e-5
    )
    expect(page.locator("#figure-streams")).to_have_text("3")

    page.get_by_role("link", name="b", exact=True).click()
    chosen(page)
    own = [record for record in records if record["stream"] == "b"]
    data = page.evaluate(
        "() => document.getElementById('chart').data.map(t => ({name: t.name, y: [...t.y]}))"
    )
    drawn = {trace["name"]: trace["y"] for trace in data if trace.get("name")}
    assert drawn["reading"] == [record["value"] for record in own]
    assert drawn["forecast"] == [step[1] for step in own[-1]["multi_step"]]
    assert drawn["expected"][1:] == pytest.approx(
        [record["one_step"][1] for record in own[:-1]], rel=1e-5, abs=1e-5
    )
    scored = page.eval_on_selector_all(
        "#leads tr", "rows => rows.map(row => [...row.querySelectorAll('data')].map(d => d.value))"
    )
    assert [line[:2] for line in scored] == [["1", "59"], ["6", "54"], ["12", "48"]]


def test_new_records_appear_and_pause_keeps_the_picture(visit: Visit) -> None:
    rng = np.random.default_rng(1)
    shown = board([forecast("a", 0, 1.0, rng)])
    page = visit(shown)
    assert lines(page)[0][0] == "1"

    def add(step: int, value: float) -> None:
        decoded = Decoder(by_position).decode([batch([forecast("a", step, value, rng)])])
        with shown.lock:
            shown.add(decoded)

    add(1, 2.0)
    expect(page.locator("#rows data").first).to_have_text("2")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused")
    add(2, 3.0)
    page.wait_for_timeout(4_000)
    expect(page.locator("#rows data").first).to_have_text("2")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#rows data").first).to_have_text("3")


def test_names_of_any_kind_are_shown_and_harmless(visit: Visit) -> None:
    rng = np.random.default_rng(1)
    page = visit(board([forecast(n, s, float(s), rng) for n in HOSTILE for s in range(3)]))
    lines(page)
    texts = page.locator("#rows bdi").all_text_contents()
    assert len(texts) == len(HOSTILE)
    assert max(map(len, texts)) <= 80
    assert HOSTILE[0] in texts and "naïve 流れ 😀" in texts
    assert not any("\u202e" in text or "\n" in text for text in texts)
    assert page.locator("#rows img, #rows script").count() == 0
    for index in range(len(HOSTILE)):
        page.locator("#rows a").nth(index).click()
        wanted = page.locator("#rows bdi").nth(index).text_content() or ""
        expect(page.locator("#detail-title")).to_contain_text(wanted.removesuffix("…")[:60])
        expect(page.locator("#rows tr.chosen")).to_have_count(1)
    assert page.title() == "Eddycast monitor"


def test_searching_and_sorting_among_ten_thousand_streams(visit: Visit) -> None:
    rng = np.random.default_rng(1)
    one = forecast("", 0, 1.0, rng)
    records = [one | {"stream": f"site-{i:05d}", "value": float(i)} for i in range(10_000)]
    page = visit(board(records, max_streams=10_000, history=8))
    expect(page.locator("#range")).to_have_text("1 to 50 of 10000")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#range")).to_have_text("51 to 100 of 10000")
    page.get_by_label("Search").fill("site-0999")
    expect(page.locator("#range")).to_have_text("1 to 10 of 10")
    assert [float(line[0]) for line in lines(page)] == [float(i) for i in range(9990, 10_000)]
    page.get_by_label("Search").fill("")
    page.get_by_label("Sort by").select_option("newest")
    expect(page.locator("#range")).to_have_text("1 to 50 of 10000")


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
    page = visit(board(walks(["a"], 30) + late), path, **context)
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


def test_a_forecast_made_earlier_is_drawn_beside_what_came(visit: Visit) -> None:
    records = walks(["a"], 60, missing=0.0)
    page = visit(board(records), "/#stream=a")
    chosen(page)
    page.locator("#earlier").evaluate(
        "(slider) => { slider.value = 30; slider.dispatchEvent(new Event('change')); }"
    )
    page.wait_for_function(
        "() => document.getElementById('chart').data.some(t => t.name === 'forecast then')"
    )
    drawn = page.evaluate(
        """() => [...document.getElementById('chart').data
          .find(trace => trace.name === 'forecast then').y]"""
    )
    made = records[30]
    wanted = [made["one_step"][1], made["multi_step"][5][1], made["multi_step"][11][1]]
    assert drawn == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_the_token_is_asked_for_and_opens_the_page(visit: Visit) -> None:
    page = visit(board(walks(["a"], 10)), token=TOKEN)
    expect(page.locator("#login")).to_be_visible()
    assert page.locator("#rows tr").count() == 0
    page.get_by_label("This monitor asks for its token").fill(TOKEN)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#rows tr")).to_have_count(1)


def test_a_link_shows_the_same_view_again(visit: Visit) -> None:
    records = walks(["a", "b"], 30)
    page = visit(board(records))
    page.get_by_label("Sort by").select_option("newest")
    page.get_by_role("link", name="b", exact=True).click()
    chosen(page)
    assert "stream=b" in page.url and "sort=newest" in page.url
    page.reload()
    expect(page.locator("#detail-title")).to_have_text("b")
    expect(page.get_by_label("Sort by")).to_have_value("newest")
