"""The application of `feed http`.

    POST /records, /records/KEY      JSON by the mapping of the settings; lines of JSON with
                                     Content-Type: application/x-ndjson
    POST /write, /api/v2/write       line protocol, as InfluxDB takes it
    GET  /health

It answers once Kafka has acknowledged every reading: 200 or 204. 400 names what could not be read;
the other readings of the request are written nevertheless. 429 and 503 mean: send it again later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from eddycast.service.bridges.http_bodies import (
    BadBody,
    Room,
    body_of,
    expected_bytes,
    lines_of_influx,
    lines_of_json,
)
from eddycast.service.bridges.http_writer import HttpWriter
from eddycast.service.bridges.messages import MessageMapper, add_readings
from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.dead_letters.codes import CODES
from eddycast.service.errors import BrokerError
from eddycast.service.formats.outcomes import Outcome, Refused
from eddycast.service.records import Headers
from eddycast.service.web.bearer import BearerToken

#: Seconds after which a sender may try again.
_LATER = {"Retry-After": "1"}
#: Errors that an answer names.
_NAMED = 10
#: Advice that differs from that for records of Kafka, by error.
_ACTIONS = {"no_key": "post to /records/STREAM, or name the stream by input.stream"}
#: Headers that travel with a reading; those of CloudEvents get the names that they have in Kafka.
_TRACES = ("traceparent", "tracestate")
_EVENT = "ce-"


def http_app(
    records: MessageMapper,
    lines: MessageMapper,
    writer: HttpWriter,
    token: str | None,
    max_bytes: int,
    refuse: Callable[[int], None] = lambda _: None,
) -> Starlette:
    """The application. `records` maps JSON, `lines` line protocol; `token` is asked for unless it
    is None; bodies of `max_bytes` are in memory at most. `refuse` counts what is not
    written: readings, and whole requests as one."""
    room = Room(max_bytes)
    post_records = _Intake(records, lines_of_json, writer, room, refuse).take
    post_lines = _Intake(lines, lines_of_influx, writer, room, refuse).take

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": writer.is_well}, 200 if writer.is_well else 503)

    routes = [
        Route("/records", post_records, methods=["POST"]),
        Route("/records/{key:path}", post_records, methods=["POST"]),
        Route("/write", post_lines, methods=["POST"]),
        Route("/api/v2/write", post_lines, methods=["POST"]),
        Route("/health", health),
    ]
    layers = []
    if token is not None:
        paths, schemes = ("/records", "/write", "/api/"), ("Bearer", "Token")
        layers.append(Middleware(BearerToken, token=token, prefixes=paths, schemes=schemes))
    return Starlette(routes=routes, middleware=layers)


@dataclass(frozen=True, slots=True)
class _Intake:
    """The steps of requests of one kind."""

    mapper: MessageMapper
    divided: Callable[[Request, bytes], Iterable[tuple[int, bytes]]]
    writer: HttpWriter
    room: Room
    refuse: Callable[[int], None]

    async def take(self, request: Request) -> Response:
        """Take a request; the answer."""
        size = expected_bytes(request)
        if not self.room.take(size):
            self.refuse(1)
            return JSONResponse({"message": "too much is waiting for Kafka"}, 429, _LATER)
        try:
            body = await body_of(request)
            self.room.give_back(size - len(body))
            size = len(body)
            return await self._written(request, body)
        except BadBody as error:
            self.refuse(1)
            return JSONResponse({"error": "bad_body", "message": error.reason}, error.status)
        except BrokerError as error:
            self.refuse(1)
            what = f"Kafka has not acknowledged: {error.what}"
            return JSONResponse({"message": what}, 503, _LATER)
        finally:
            self.room.give_back(size)

    async def _written(self, request: Request, body: bytes) -> Response:
        """Write the readings of a body. Raises BrokerError."""
        outgoing, filtered, count = Outgoing(self.writer.target), 0, 0
        refused: list[dict[str, str]] = []
        topic, key = request.url.path.strip("/"), request.path_params.get("key")
        now, headers = time.time_ns() // 1_000_000, _headers(request)
        for line, value in self.divided(request, body):
            record = self.mapper.record(topic, key and key.encode(), value, headers, now)
            outcomes = self.mapper.read(record)
            filtered += add_readings(record, outcomes, outgoing)
            refused += _named(outcomes, line)
            count += 1
        await asyncio.wrap_future(self.writer.submit(outgoing, len(body), count, filtered))
        if refused:
            self.refuse(len(refused))
        return _answer(request, outgoing.readings, filtered, refused)


def _answer(
    request: Request, readings: int, filtered: int, refused: list[dict[str, str]]
) -> Response:
    if not refused:
        if not request.url.path.startswith("/records"):  # InfluxDB's answer
            return Response(status_code=204)
        return JSONResponse({"readings": readings, "filtered": filtered})
    first = refused[0]
    where = f"{first['place']}: " if first["place"] else ""
    found: dict[str, Any] = {
        "code": "invalid",  # InfluxDB's word
        "message": f"{where}{first['reason']}; {first['action']}",
        "readings": readings,
        "filtered": filtered,
        "refused": len(refused),
        "errors": refused[:_NAMED],
    }
    return JSONResponse(found, 400)


def _named(outcomes: Iterable[Outcome], first_line: int) -> list[dict[str, str]]:
    return [
        {
            "place": _place(outcome.place, first_line),
            "error": outcome.why.error,
            "reason": outcome.why.reason,
            "action": _ACTIONS.get(outcome.why.error) or CODES[outcome.why.error].action,
        }
        for outcome in outcomes
        if isinstance(outcome, Refused)
    ]


def _place(place: str, first_line: int) -> str:
    """The place of a reading in the body, whose records begin at a line."""
    word, _, rest = place.partition(" ")
    if word == "line":
        number, _, path = rest.partition("/")
        return f"line {int(number) + first_line - 1}" + (f" /{path}" if path else "")
    return place if first_line == 1 else f"line {first_line} {place}".rstrip()


def _headers(request: Request) -> Headers:
    named = [(name, value.encode()) for name, value in request.headers.items()]
    events = [
        (name.replace("-", "_", 1), value) for name, value in named if name.startswith(_EVENT)
    ]
    return events + [(name, value) for name, value in named if name in _TRACES]
