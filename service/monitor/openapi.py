"""The description of the API in OpenAPI 3.1, served at /openapi.json."""

from __future__ import annotations

from typing import Any

from eddycast.service.monitor.views import SORTS
from eddycast.service.monitor.windows import WINDOWS

Parameter = dict[str, Any]


def _parameter(name: str, about: str, schema: dict[str, Any], required: bool = False) -> Parameter:
    return {
        "name": name,
        "in": "query",
        "description": about,
        "required": required,
        "schema": schema,
    }


_WHOLE = {"type": "integer", "minimum": 0}
_TIME = {"oneOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]}
_SEARCH = _parameter("search", "Part of a stream's name, in any case", {"type": "string"})
_SORT = _parameter("sort", "Order of the list", {"type": "string", "enum": list(SORTS)})
_WINDOW = _parameter(
    "window", "Time that scores are taken from", {"type": "string", "enum": list(WINDOWS)}
)
_OFFSET = _parameter("offset", "Lines to leave out at the beginning", _WHOLE)
_LIMIT = _parameter("limit", "Most lines of the answer", _WHOLE)
_STREAM = _parameter("stream", "Name of the stream, as in its records", {"type": "string"}, True)
_TARGET = _parameter(
    "target", "Name of the target, where the model has several", {"type": "string"}
)
_FORMAT = _parameter("format", "Form of the answer", {"type": "string", "enum": ["json", "csv"]})


def _path(about: str, *parameters: Parameter) -> dict[str, Any]:
    ok: dict[str, Any] = {
        "description": about,
        "headers": {"ETag": {"schema": {"type": "string"}}},
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
    answers = {
        "200": ok,
        "304": {"description": "The client has this answer already (If-None-Match)"},
        "400": {"description": "A parameter is not allowed"},
        "401": {"description": "A bearer token is needed"},
        "404": {"description": "There is no such stream"},
    }
    return {"get": {"summary": about, "parameters": [*parameters, _FORMAT], "responses": answers}}


_LIST = (_SEARCH, _WINDOW, _OFFSET, _LIMIT)
PATHS = {
    "/api/summary": _path("Counts and states of this moment"),
    "/api/streams": _path("Streams with their last reading and forecast", *_LIST, _SORT),
    "/api/streams/one": _path(
        "One stream: readings, what was expected of them, latest forecast, accuracy by lead",
        _STREAM, _TARGET, _LIMIT,
    ),
    "/api/forecasts": _path(
        "Forecasts of one stream by time of issue, by the time they are for, or by lead",
        _STREAM, _TARGET,
        _parameter(
            "issued", "Time of the reading that made the forecast, or latest",
            {"oneOf": [*_TIME["oneOf"], {"const": "latest"}]},
        ),
        _parameter("valid", "Time that the forecast is for", _TIME),
        _parameter("lead", "Forecast intervals between the two", _WHOLE),
        _LIMIT,
    ),
    "/api/accuracy": _path(
        "Accuracy by window and lead, of one stream or, in scales of each stream, of all",
        _STREAM | {"required": False}, _TARGET,
    ),
    "/api/anomalies": _path(
        "The latest readings whose surprise is rarer than the accepted false alarms",
        _STREAM | {"required": False}, _LIMIT,
    ),
    "/api/dead_letters": _path("Dead letters by kind of error, with the latest of each"),
    "/api/service": _path(
        "Workers of the service, their latencies and dead letters, the changes of the model"
    ),
    "/api/worst": _path("Streams by scaled error, largest first", *_LIST),
    "/api/silent": _path("Silent streams, longest silence by their own rhythm first", *_LIST),
    "/api/events": {
        "get": {
            "summary": "The summary, twice a second",
            "responses": {
                "200": {
                    "description": "Server-sent events",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                }
            },
        }
    },
}  # fmt: skip
DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Eddycast monitor",
        "version": "1",
        "description": "Streams, forecasts and live accuracy. Times are ms since the epoch, UTC.",
    },
    "paths": PATHS,
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "security": [{}, {"token": []}],
}
