"""The monitor's HTTP application: routes to views, JSON or CSV, with an ETag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from eddycast.service.monitor import accuracy
from eddycast.service.monitor.board import Board, Place
from eddycast.service.monitor.clock import now_ms
from eddycast.service.monitor.csv_lines import as_csv
from eddycast.service.monitor.decode import Series
from eddycast.service.monitor.events import Events
from eddycast.service.monitor.figures import registry_of
from eddycast.service.monitor.follower import Progress
from eddycast.service.monitor.forecasts import Wanted, forecasts
from eddycast.service.monitor.guard import middleware
from eddycast.service.monitor.letters import Letters
from eddycast.service.monitor.models import by_model
from eddycast.service.monitor.openapi import DESCRIPTION
from eddycast.service.monitor.query_parameters import Parameters
from eddycast.service.monitor.remade import Remade
from eddycast.service.monitor.service_panel import ServicePanel
from eddycast.service.monitor.summary import summary
from eddycast.service.monitor.table import Table, table
from eddycast.service.monitor.views import Query, Sort, anomalies, one, streams

STATIC = Path(__file__).with_name("static")
#: The chart library's script within its package.
CHARTS = Path("package_data") / "plotly.min.js"
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
#: Most lines of one answer.
MOST = 10_000


@dataclass(slots=True)
class Desk:
    """Sources of the answers."""

    board: Board
    progress: Progress
    letters: Letters
    table: Remade[Table]
    accuracy: Remade[list[dict[str, Any]]]

    def summary(self) -> dict[str, Any]:
        """See `summary.summary`."""
        table, letters = self.table.current(), self.letters.total
        return summary(self.board, table, self.progress, letters, now_ms())


def http_app(
    board: Board,
    progress: Progress,
    letters: Letters,
    service: ServicePanel,
    host: str,
    token: str | None,
) -> Starlette:
    """The application. `token` is asked for below /api and at /metrics; `host` is the address that
    it is served at."""
    charts = _charts()
    desk = Desk(board, progress, letters, Remade(board, table), Remade(board, accuracy.of_all))
    events = Events(desk.summary)
    answers: dict[str, Callable[[Desk, Parameters], Any]] = {
        "/api/summary": lambda desk, _: desk.summary(),
        "/api/streams": _streams,
        "/api/streams/one": _one,
        "/api/forecasts": _forecasts,
        "/api/accuracy": _accuracy,
        "/api/anomalies": _anomalies,
        "/api/dead_letters": lambda desk, _: desk.letters.view(),
        "/api/service": lambda *_: service.view(),
        "/api/worst": lambda desk, given: _streams(desk, given, sort="worst"),
        "/api/silent": lambda desk, given: _streams(desk, given, sort="silent", only_silent=True),
    }
    registry = registry_of(desk.summary, Remade(board, by_model).current)
    routes: list[BaseRoute] = [
        Route(path, _answering(desk, answer), methods=["GET"]) for path, answer in answers.items()
    ]
    routes += [
        Route("/api/events", events.answer, methods=["GET"]),
        Route("/openapi.json", lambda request: _reply(request, DESCRIPTION), methods=["GET"]),
        Route("/health", lambda request: _health(request, progress), methods=["GET"]),
        Route(
            "/metrics",
            lambda _: Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST),
            methods=["GET"],
        ),
        Route("/plotly.min.js", lambda _: FileResponse(charts), methods=["GET"]),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    return Starlette(
        routes=routes,
        middleware=middleware(host, token),
        exception_handlers={HTTPException: _refused},
    )


def _charts() -> Path:
    """The chart library's script, found without importing the library.
    Raises ModuleNotFoundError."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
    return Path(found.origin).parent / CHARTS


def _answering(
    desk: Desk, answer: Callable[[Desk, Parameters], Any]
) -> Callable[[Request], Response]:
    """A handler, which runs in a thread of its own."""

    def handle(request: Request) -> Response:
        given = Parameters(request.query_params)
        content = answer(desk, given)
        as_text = given.choice("format", ("json", "csv"))
        given.check_all_known()
        return _reply(request, content, as_text == "csv")

    return handle


def _reply(request: Request, content: Any, csv: bool = False) -> Response:
    """`content` in its format; 304 where the client has it already."""
    body = as_csv(content) if csv else orjson.dumps(content, option=_JSON)
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = "text/csv; charset=utf-8" if csv else "application/json"
    return Response(body, headers=headers, media_type=kind)


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "an error of the monitor"
    headers = getattr(error, "headers", None)
    return Response(
        orjson.dumps({"error": detail}), status, headers=headers, media_type="application/json"
    )


def _health(request: Request, progress: Progress) -> Response:
    content = {
        "live": True,
        "ready": progress.caught_up and not progress.trouble,
        "waiting_for": progress.trouble or ("" if progress.caught_up else "catching up"),
    }
    reply = _reply(request, content)
    reply.status_code = 200 if content["ready"] else 503
    return reply


def _streams(
    desk: Desk, given: Parameters, sort: Sort | None = None, only_silent: bool = False
) -> dict[str, Any]:
    query = Query(
        given.text("search"),
        sort or given.sort(),
        given.window(),
        only_silent,
        given.number("offset", 0, 0, 10_000_000),
        given.number("limit", 50, 1, MOST),
    )
    return streams(desk.board, desk.table.current(), query, now_ms())


def _one(desk: Desk, given: Parameters) -> dict[str, Any]:
    limit = given.number("limit", 200, 1, MOST)

    def view(place: Place) -> dict[str, Any]:
        return one(desk.board, place, limit)

    found: dict[str, Any] = _of_series(desk, given, view)
    return found


def _forecasts(desk: Desk, given: Parameters) -> dict[str, Any]:
    latest = given.text("issued") == "latest"
    wanted = Wanted(
        None if latest else given.time("issued"),
        given.time("valid"),
        given.optional_number("lead", 1, 1_000_000),
        given.number("limit", 1_000, 1, MOST),
    )

    def view(place: Place) -> dict[str, Any]:
        newest = int(place.panel.fan_stamps[place.row])
        own = wanted._replace(issued=newest) if latest else wanted
        return {
            "quantiles": place.panel.shape.quantiles,
            "forecasts": forecasts(place, own),
        }

    found: dict[str, Any] = _of_series(desk, given, view)
    return found


def _anomalies(desk: Desk, given: Parameters) -> dict[str, Any]:
    stream = given.text("stream") if given.has("stream") else None
    limit = given.number("limit", 100, 1, MOST)
    with desk.board.lock:
        return anomalies(desk.board, stream, limit)


def _accuracy(desk: Desk, given: Parameters) -> Any:
    if not given.has("stream"):
        return {"accuracy": desk.accuracy.current()}
    return {"accuracy": _of_series(desk, given, accuracy.of_series)}


def _of_series(desk: Desk, given: Parameters, view: Callable[[Place], Any]) -> Any:
    """A view of the series named by `stream` and `target`."""
    stream, target = given.text("stream"), given.text("target")
    with desk.board.lock:
        place = desk.board.place(Series(stream, target))
        if place is None:
            targets = desk.board.targets(stream)
            hint = f"name one of its targets: {targets}" if targets else "see /api/streams"
            raise HTTPException(404, f"no such stream and target; {hint}")
        return view(place)
