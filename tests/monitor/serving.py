"""A monitor's page and API over a board that a test has filled, at a port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.testclient import TestClient

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.follower import Progress
from eddycast.service.monitor.http_app import http_app
from eddycast.service.monitor.letters import Letters
from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.settings.settings import Settings
from eddycast.service.web.server import HttpServer

TOKEN = "correct horse"


def application(
    board: Board,
    token: str | None = None,
    progress: Progress | None = None,
    letters: Letters | None = None,
    service: ServicePanel | None = None,
) -> Starlette:
    """The application, by default of a monitor that has caught up."""
    done = progress or Progress(caught_up=True, trouble="")
    panel = service or ServicePanel(Settings())
    return http_app(board, done, letters or Letters(), panel, "127.0.0.1", token)


def client(
    board: Board,
    token: str | None = None,
    progress: Progress | None = None,
    letters: Letters | None = None,
    service: ServicePanel | None = None,
) -> TestClient:
    """A client of the application, without a port."""
    app = application(board, token, progress, letters, service)
    return TestClient(app, base_url="http://127.0.0.1")


@contextmanager
def served(
    board: Board, token: str | None = None, service: ServicePanel | None = None
) -> Iterator[str]:
    """The address of a monitor on a free port."""
    server = HttpServer(application(board, token, service=service), "127.0.0.1", 0)
    try:
        yield server.url
    finally:
        server.close()
