"""Dashboard of the forecasts of one stream, from the monitor's API: Prometheus cannot hold a sample
of tomorrow."""

from __future__ import annotations

from deploy.dashboards.panels import Api, Column, Dashboard, Panel, Variable

_STREAM = "stream=${stream:percentencode}&target=${target:percentencode}"
_BAND = (
    Column("due", "time", "timestamp_epoch"),
    Column("low", "low"),
    Column("middle", "middle"),
    Column("high", "high"),
)
_NAMES = (Column("stream", "stream", "string"), Column("target", "target", "string"))
STREAM = Variable("stream", "stream", Api("/api/streams?limit=10000", "streams", _NAMES[:1]))
TARGET = Variable(
    "target", "target",
    Api("/api/streams?limit=100&search=${stream:percentencode}", "streams", _NAMES[1:]),
)  # fmt: skip


def _list(path: str, root: str, *columns: Column) -> Api:
    return Api(path, root, (*_NAMES, *columns))


ONE_STREAM = Dashboard(
    "stream",
    "forecasts of one stream",
    [
        Panel(
            "What came, and what was expected of it?",
            [
                Api(
                    f"/api/forecasts?{_STREAM}&lead=1&limit=2000", "forecasts",
                    (*_BAND, Column("came", "reading")),
                )
            ],
            "none", width=24, height=9,
            about="By the stamps of readings: choose a time that has some.",
        ),
        Panel(
            "What comes next?",
            [Api(f"/api/forecasts?{_STREAM}&issued=latest&limit=2000", "forecasts", _BAND)],
            "none", width=12, height=9, about="The latest forecast: choose a time to come.",
        ),
        Panel(
            "How good is it at each lead?",
            [
                Api(
                    f"/api/accuracy?{_STREAM}", "accuracy.week",
                    (
                        Column("lead", "lead"),
                        Column("mae", "error"),
                        Column("last_value_mae", "last value"),
                        Column("seasonal_naive_mae", "seasonal naive"),
                        Column("coverage", "coverage"),
                        Column("nominal", "nominal"),
                        Column("scored", "forecasts"),
                    ),
                )
            ],
            "none", "table", height=9,
        ),
        Panel(
            "Which streams are worst?",
            [
                _list(
                    "/api/worst?window=day&limit=20", "streams",
                    Column("scaled_error", "error in scales"), Column("value", "last value"),
                )
            ],
            "none", "table", 8,
        ),
        Panel(
            "Which streams are silent?",
            [
                _list(
                    "/api/silent?limit=20", "streams",
                    Column("silent_s", "silent, s"), Column("rhythm_s", "usual gap, s"),
                )
            ],
            "none", "table", 8,
        ),
        Panel(
            "What was out of the ordinary?",
            [
                _list(
                    "/api/anomalies?limit=20", "anomalies",
                    Column("timestamp", "time", "timestamp_epoch"), Column("value", "value"),
                )
            ],
            "none", "table", 8,
        ),
    ],
    (STREAM, TARGET),
    ("now-24h", "now+24h"),
)  # fmt: skip
