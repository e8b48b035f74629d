"""A browser, and pages of boards that a test has filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.service_panel import ServicePanel
from tests.monitor.browsing import CHROMIUM, PATIENCE_MS, Visit
from tests.monitor.serving import served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """`visit(board, path, **context)` opens the page of a board. At the end no page may have
    reported an error."""
    errors: list[str] = []
    with ExitStack() as stack:

        def go(
            shown: Board,
            path: str = "/",
            token: str | None = None,
            service: ServicePanel | None = None,
            **context: Any,
        ) -> Page:
            url = stack.enter_context(served(shown, token, service))
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
