"""Parts of a dashboard: queries, panels, and the grid that panels are laid out on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "table", "heatmap", "barchart"]
#: Columns of Grafana's grid.
_COLUMNS = 24
PROMETHEUS: Json = {"type": "prometheus", "uid": "${source}"}
MONITOR: Json = {"type": "yesoreyeram-infinity-datasource", "uid": "${monitor}"}


class Prom(NamedTuple):
    """A query in PromQL; `now` asks for the present value only."""

    expr: str
    legend: str = ""
    now: bool = False

    def target(self, ref: str, kind: Kind) -> Json:
        """The query in Grafana's words."""
        form = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
        return {
            "refId": ref,
            "datasource": PROMETHEUS,
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "format": form,
            "instant": self.now,
            "range": not self.now,
        }


class Column(NamedTuple):
    """A field of an answer of the monitor: its place, its name for people and its type."""

    selector: str
    text: str
    type: Literal["number", "string", "timestamp_epoch"] = "number"


class Api(NamedTuple):
    """A call of the monitor's API, through the Infinity data source. `root` is the place of the
    lines within the answer."""

    path: str
    root: str
    columns: tuple[Column, ...]

    def target(self, ref: str, kind: Kind) -> Json:
        """The query in Infinity's words."""
        return {
            "refId": ref,
            "datasource": MONITOR,
            "type": "json",
            "parser": "backend",
            "source": "url",
            "format": "timeseries" if kind == "timeseries" else "table",
            "url": self.path,
            "url_options": {"method": "GET", "data": ""},
            "root_selector": self.root,
            "columns": [column._asdict() for column in self.columns],
            "filters": [],
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """A question and its answer. `limits` are values from which the colour changes: green, then
    orange, then red; with `rising` false in the opposite order."""

    title: str
    queries: Sequence[Prom | Api]
    unit: str
    kind: Kind = "timeseries"
    width: int = 12
    height: int = 8
    limits: Sequence[float] = ()
    rising: bool = True
    stacked: bool = False
    about: str = ""
    most: float | None = None
    overrides: Sequence[Json] = field(default_factory=tuple)

    def json(self, number: int, x: int, y: int) -> Json:
        """The panel in Grafana's words, at a place of the grid."""
        datasource = PROMETHEUS if isinstance(self.queries[0], Prom) else MONITOR
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": datasource,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                query.target(chr(ord("A") + i), self.kind) for i, query in enumerate(self.queries)
            ],
            "fieldConfig": {"defaults": self._field(), "overrides": list(self.overrides)},
            "options": self._options(),
        }

    def _field(self) -> Json:
        colours = ["green", "orange", "red"]
        if not self.rising:
            colours = colours[: len(self.limits) + 1][::-1]
        steps = zip([None, *self.limits], colours, strict=False)
        found: Json = {
            "unit": self.unit,
            "thresholds": {
                "mode": "absolute",
                "steps": [{"value": value, "color": colour} for value, colour in steps],
            },
        }
        if self.unit != "short" or self.stacked:
            found["min"] = 0
        if self.most is not None:
            found["max"] = self.most
        if self.kind == "stat":
            found["color"] = {"mode": "thresholds"}
        if self.kind == "timeseries":
            found["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 40 if self.stacked else 5,
                "stacking": {"mode": "normal" if self.stacked else "none"},
                "thresholdsStyle": {"mode": "dashed" if self.limits else "off"},
            }
        return found

    def _options(self) -> Json:
        match self.kind:
            case "stat":
                return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
            case "timeseries":
                return {
                    "legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                }
            case "heatmap":
                return {"calculate": False, "yAxis": {"unit": self.unit}}
            case _:
                return {}


class Variable(NamedTuple):
    """A choice at the top: values of a label, or a query of the monitor."""

    name: str
    label: str
    query: str | Api
    all: bool = False

    def json(self) -> Json:
        """The variable in Grafana's words."""
        common: Json = {
            "name": self.name,
            "label": self.label,
            "type": "query",
            "refresh": 2,
            "includeAll": self.all,
            "multi": self.all,
            "current": {"text": "All", "value": "$__all"} if self.all else {},
        }
        if isinstance(self.query, str):
            return common | {"datasource": PROMETHEUS, "query": self.query, "sort": 1}
        asked = self.query.target("variable", "table")
        query = {"refId": "variable", "queryType": "infinity", "infinityQuery": asked}
        return common | {"datasource": MONITOR, "query": query}


#: The choice of one service among several in one Prometheus.
JOB = Variable("job", "service", "label_values(eddycast_ready, job)")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels, laid out from left to right in the given order."""

    name: str
    title: str
    panels: Sequence[Panel]
    variables: Sequence[Variable] = (JOB,)
    span: tuple[str, str] = ("now-1h", "now")

    def json(self) -> Json:
        """The dashboard in Grafana's words."""
        choices = [_source("source", "Prometheus", "prometheus")]
        if any(isinstance(query, Api) for panel in self.panels for query in panel.queries):
            choices.append(_source("monitor", "monitor", MONITOR["type"]))
        return {
            "uid": f"eddycast-{self.name}",
            "title": f"Eddycast: {self.title}",
            "tags": ["eddycast"],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "10s",
            "time": dict(zip(("from", "to"), self.span, strict=True)),
            "links": [
                {"type": "dashboards", "tags": ["eddycast"], "title": "Eddycast", "keepTime": True}
            ],
            "templating": {"list": [*choices, *(v.json() for v in self.variables)]},
            "panels": list(self._laid_out()),
        }

    def _laid_out(self) -> list[Json]:
        laid: list[Json] = []
        x = y = tallest = 0
        for number, panel in enumerate(self.panels, 1):
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            laid.append(panel.json(number, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        return laid


def _source(name: str, label: str, kind: str) -> Json:
    return {"name": name, "label": label, "type": "datasource", "query": kind}
