"""The page in a real headless Chromium: numbers, names, clicks, dark, a phone's width."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from eddycast.service.monitor.decode import Decoder, by_position
from tests.monitor.browsing import NEEDS_CHROMIUM, Visit, chosen, compare_chart, lines
from tests.monitor.records import batch, board, forecast, walks
from tests.monitor.serving import TOKEN

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]
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
    compare_chart(page, own)
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


def test_what_was_forecast_for_a_time_is_one_click_and_stays_in_the_address(visit: Visit) -> None:
    records = walks(["a", "b"], 60, missing=0.0)
    own = [record for record in records if record["stream"] == "a"]
    page = visit(board(records), "/#stream=a")
    chosen(page)
    stamp = own[30]["timestamp"]
    page.evaluate(
        """(stamp) => {
          const chart = document.getElementById('chart');
          const data = chart.data.find(trace => trace.name === 'reading');
          chart.emit('plotly_click', {points: [{data, pointIndex: data.x.indexOf(stamp)}]});
        }""",
        stamp,
    )
    expect(page.locator("#due-leads tr")).to_have_count(3)
    page.reload()
    expect(page.locator("#due-leads tr")).to_have_count(3)
    rows = page.eval_on_selector_all(
        "#due-leads tr",
        "rows => rows.map(row => [...row.querySelectorAll('data')].map(d => +d.value))",
    )
    wanted = {1: own[29]["one_step"], 6: own[24]["multi_step"][5], 12: own[18]["multi_step"][11]}
    assert {int(row[0]): row[2:] for row in rows} == {
        lead: pytest.approx(levels, rel=1e-5, abs=1e-5) for lead, levels in wanted.items()
    }
    assert {int(row[1]) for row in rows} == {own[30 - lead]["timestamp"] for lead in wanted}
    page.get_by_role("link", name="b", exact=True).click()
    expect(page.locator("#earlier-when")).to_have_text("now")
    expect(page.locator("#due")).to_be_hidden()


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
    expect(page.locator("#rows tr")).to_have_count(2)
    page.route("**/api/streams?*", lambda route: None)  # the rows stay those that were drawn before
    page.get_by_label("Sort by").select_option("newest")
    page.get_by_role("link", name="b", exact=True).click()
    page.wait_for_url(lambda url: "stream=b" in url and "sort=newest" in url)
    page.unroute_all(behavior="ignoreErrors")
    page.reload()
    expect(page.locator("#detail-title")).to_have_text("b")
    expect(page.get_by_label("Sort by")).to_have_value("newest")
