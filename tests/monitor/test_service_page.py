"""The part of the page about the service, in a real headless Chromium: workers in this process, one
of which dies; changes of the model; an audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.registry.change import Change
from tests.monitor.browsing import NEEDS_CHROMIUM, Visit
from tests.monitor.records import board, walks
from tests.monitor.worker_ports import WorkerPort, look, panel, worker_ports
from tests.support.registry import NOON

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
EXACT = "rows => rows.map(row => [...row.querySelectorAll('data')].map(d => d.value))"


@pytest.fixture
def workers() -> Iterator[list[WorkerPort]]:
    with worker_ports((0, 1, 2, 5), (3,)) as two:
        yield two


@pytest.fixture
def shown(workers: list[WorkerPort], tmp_path_factory: pytest.TempPathFactory) -> ServicePanel:
    """A panel that has looked twice; the second worker is not ready, by a hostile reason."""
    folder = tmp_path_factory.mktemp("registry")
    change = Change(
        model="walk", number=1, champion="ab" * 32, label=HOSTILE, predecessor=None, expected=None,
        who=HOSTILE, when=NOON, why=HOSTILE, evidence={HOSTILE: 1.5}, nonce="1",
    )  # fmt: skip
    place = folder / "models" / "walk" / "changes"
    place.mkdir(parents=True)
    (place / "00000001.json").write_bytes(change.content)
    first, second = workers
    addresses = f"{first.address},{second.address}"
    made = panel(addresses, f"--registry.url={folder}", "--registry.model=walk")
    second.health.wait_for(HOSTILE)
    look(made)
    first.serve(100, 0.04)
    second.serve(200, 0.4)
    look(made)
    return made


def exact(page: Page, rows: str) -> list[list[str]]:
    found: list[list[str]] = page.eval_on_selector_all(f"#{rows} tr", EXACT)
    return found


def numbers(line: dict[str, Any], *names: str) -> list[float]:
    return [float(line[name]) for name in names]


def test_the_numbers_are_those_of_the_api_and_a_worker_that_dies_is_shown(
    visit: Visit, workers: list[WorkerPort], shown: ServicePanel
) -> None:
    page = visit(board(walks(["a"], 10)), service=shown)
    expect(page.locator("#workers tr")).to_have_count(2)
    answer = shown.view()
    for drawn, line in zip(exact(page, "workers"), answer["workers"], strict=True):
        wanted = numbers(line, "records_per_s", "p50_s", "p99_s", "lag", "streams", "dead_letters")
        assert [float(value) for value in drawn] == wanted
    for drawn, line in zip(exact(page, "latency"), answer["latency"], strict=True):
        assert [float(value or "nan") for value in drawn] == pytest.approx(
            [float("nan") if line[n] is None else line[n] for n in ("p50_s", "p99_s", "count")],
            nan_ok=True,
        )
    about = page.locator("#service-about")
    expect(about).to_contain_text("2 of 2 workers answer, 1 is ready")
    expect(page.locator("#workers")).to_contain_text("0-2, 5")
    expect(page.locator("#workers")).to_contain_text(
        "not ready: <img src=x onerror=alert(1)>\ufffd"
    )
    expect(page.locator("#service-letters")).to_contain_text("not_json 6")
    expect(page.locator("#changes tr")).to_have_count(1)
    page.get_by_text("figures", exact=True).click()
    assert page.locator("#service img").count() == 0

    workers[1].close()
    look(shown)
    expect(about).to_contain_text("1 of 2 workers answer, 1 is ready")
    expect(page.locator("#workers tr").nth(1)).to_contain_text("down: no answer")
    expect(page.locator("#changes li")).to_be_visible()  # what was opened stays open


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_for_accessibility_finds_nothing(
    visit: Visit, workers: list[WorkerPort], shown: ServicePanel, scheme: str
) -> None:
    workers[0].close()
    look(shown)
    phone = {"width": 390, "height": 844}
    page = visit(board(walks(["a"], 10)), service=shown, color_scheme=scheme, viewport=phone)
    expect(page.locator("#workers tr")).to_have_count(2)
    page.get_by_text("figures", exact=True).click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_without_the_setting_the_page_says_how_to_set_it(visit: Visit) -> None:
    page = visit(board(walks(["a"], 10)))
    expect(page.locator("#service-about")).to_contain_text("set monitor.services")
    expect(page.locator("#service-workers")).to_be_hidden()
    expect(page.locator("#service-changes")).to_be_hidden()
