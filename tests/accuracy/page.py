"""docs/accuracy.md: prose by hand, tables from the records, each between its markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from eddycast.service.comparison.significance import Difference
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.gift import geometric_means
from eddycast.training.evaluation.protocols.gift_published import SEASONAL_NAIVE, Published
from eddycast.training.evaluation.report import number, say
from tests.tools.markdown import table

Record = dict[str, Any]
Rows = Iterator[Sequence[str]]
NOT_YET = "Not measured yet: run the command above."
_MODELS = {"naive": "last value", "seasonal_naive": "seasonal naive"}

#: Geometric means over the six tasks, relative to seasonal naive.
RELATIVE = {
    "PatchTST": Published(0.9195, 0.7206),
    "xLSTM-Mixer": Published(0.8751, 0.6739),
    "TiRex": Published(0.8298, 0.6552),
}


def render(page: str, records: Sequence[Record]) -> str:
    """`page` with the tables of `records`. Raises ValueError if the page has no markers for a
    table."""
    for name, (head, rows) in TABLES.items():
        mark = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.S)
        if not (found := mark.search(page)):
            raise ValueError(f"the page has no place for the table {name!r}")
        lines = list(
            rows(
                [
                    record
                    for record in records
                    if record["case"]["part"] in _PARTS.get(name, (name,))
                ]
            )
        )
        text = table(head, lines) if lines else NOT_YET
        page = f"{page[: found.end(1)]}{text}\n{page[found.start(2) :]}"
    return page


def _figures(record: Record, **wanted: object) -> list[Figure]:
    """A record's pooled figures that are as wanted."""
    figures = [
        Figure.model_validate(result) for result in record["results"] if not result.get("stream")
    ]
    return [
        figure
        for figure in figures
        if all(getattr(figure, name) == value for name, value in wanted.items())
    ]


def _name(record: Record) -> str:
    case, family = record["case"], record["cost"]["family"]
    words = [f"`{case['family']}`", f"(chose `{family}`)" if case["family"] == "auto" else ""]
    words.append("" if case["linear_path"] else "without linear path")
    return f"{' '.join(filter(None, words))}, seed {case['seed']}"


def _against(figure: Figure, measure: str, rival: str = "seasonal_naive") -> str:
    found = figure.against.get(rival, {}).get(measure)
    return say(Difference(*found)) if found else "-"


def _ltsf(records: Sequence[Record]) -> Rows:
    """A row a bundle, and the baselines once a horizon."""
    seen: set[object] = set()
    for record in sorted(
        records,
        key=lambda one: (one["case"]["data"], one["case"]["horizon"], one["case"]["family"]),
    ):
        data, horizon = record["case"]["data"], record["case"]["horizon"]
        names = [name for name in _MODELS if (data, horizon, name) not in seen]
        seen |= {(data, horizon, name) for name in names}
        for model in (*names, "model"):
            (far,) = _figures(record, model=model, horizon=horizon)
            (near,) = _figures(record, model=model, horizon=1)
            label = _MODELS.get(model) or _name(record)
            scores = [
                number(far.mse),
                number(far.mae),
                number(far.wql),
                number(far.coverage_80),
                number(near.mae),
            ]
            yield (data, str(horizon), label, *scores, _against(far, "mse"))


def _cost(records: Sequence[Record]) -> Rows:
    for record in records:
        if "cost" not in record:
            continue
        cost, case = record["cost"], record["case"]
        rates = [
            f"{cost[graph][batch]:,}"
            for graph in ("step", "forecast")
            for batch in ("1", "64", "512")
        ]
        yield (
            case["data"], str(case["horizon"] or "a day"), _name(record),
            f"{cost['seconds']:.0f}", f"{cost['floats']:,}", f"{cost['bytes']:,}", *rates,
        )  # fmt: skip


def _gift(records: Sequence[Record]) -> Rows:
    """A row a task and bundle; then the means over the six tasks of each family, seed 0."""
    own: dict[str, list[Figure]] = {}
    for record in records:
        length = record["case"]["horizon"]
        for figure in _figures(record, model="model", horizon=length):
            if not record["case"]["seed"]:
                own.setdefault(record["case"]["family"], []).append(figure)
            (naive,) = _figures(record, model="seasonal_naive", horizon=length)
            scores = [
                figure.mase,
                naive.mase,
                figure.relative_mase,
                figure.wql,
                figure.relative_wql,
            ]
            yield (figure.task, _name(record), *map(number, scores), number(figure.coverage_80))
    for family, figures in own.items():
        mean = geometric_means(figures, "model")
        if mean and len(figures) == len(SEASONAL_NAIVE):
            yield (
                "all six",
                f"`{family}`, seed 0",
                "-",
                "-",
                number(mean.mase),
                "-",
                number(mean.wql),
                "-",
            )
    for name, published in RELATIVE.items() if records else ():
        yield (
            "all six",
            f"{name}, published",
            "-",
            "-",
            number(published.mase),
            "-",
            number(published.wql),
            "-",
        )


def _online(records: Sequence[Record]) -> Rows:
    for record in records:
        for horizon in (1, 24, 48):
            (figure,) = _figures(record, model="model", horizon=horizon)
            naive = [_figures(record, model=model, horizon=horizon)[0].mse for model in _MODELS]
            yield (
                str(horizon),
                _name(record),
                *map(number, [figure.mse, *naive]),
                _against(figure, "mse"),
            )


def _rolling(records: Sequence[Record]) -> Rows:
    """MASE and WQL are the means over a set's streams."""
    for record in records:
        horizon = max(result["horizon"] for result in record["results"])
        alone = {r["stream"] for r in record["results"] if r.get("stream")}
        means = [
            number(getattr(figure, measure))
            for model in ("model", *_MODELS)
            for figure in _figures(record, model=model, horizon=horizon)
            for measure in ("mase", "wql")
        ]
        (pooled,) = _figures(record, model="model", horizon=horizon)
        yield (
            record["case"]["data"],
            f"{len(alone)}",
            _name(record),
            *means,
            number(pooled.coverage_80),
            _against(pooled, "wql"),
        )


def _book(records: Sequence[Record]) -> Rows:
    for record in records:
        for result in record["results"]:
            yield (
                result["task"],
                str(record["case"]["seeds"]),
                f"{result['mse']:.4f}",
                f"{result['spread']:.4f}",
            )


def _unseen(records: Sequence[Record]) -> Rows:
    for record in records:
        horizon = max(result["horizon"] for result in record["results"])
        scores = [
            _figures(record, model=model, horizon=horizon)[0].mase for model in ("model", *_MODELS)
        ]
        (figure,) = _figures(record, model="model", horizon=horizon)
        yield (
            record["case"]["data"],
            f"{figure.origins:,}",
            *map(number, scores),
            _against(figure, "mae"),
        )


def _holes(records: Sequence[Record]) -> Rows:
    for record in records:
        horizon = max(result["horizon"] for result in record["results"])
        (figure,) = _figures(record, model="model", horizon=horizon)
        naive = [_figures(record, model=model, horizon=horizon)[0].mase for model in _MODELS]
        scores = [figure.mase, figure.wql, figure.coverage_80, *naive]
        yield (record["case"]["data"], f"{figure.origins:,}", *map(number, scores))


def _start(records: Sequence[Record]) -> Rows:
    for record in records:
        for figure in _figures(record, model="model", horizon=96):
            (naive,) = _figures(record, model="naive", task=figure.task, horizon=96)
            yield (
                figure.task,
                number(figure.mse),
                number(naive.mse),
                number((figure.mse or 0) / (naive.mse or 1)),
            )


def _nab(records: Sequence[Record]) -> Rows:
    for record in records:
        if record["case"]["protocol"] == "nab":
            for result in record["results"]:
                yield (result["task"], str(result["files"]), f"{result['score']:.1f}")


def _alarms(records: Sequence[Record]) -> Rows:
    for record in records:
        for result in record["results"] if record["case"]["protocol"] != "nab" else ():
            ratio, ratios = (
                result["rate"] / result["wanted"],
                [rate / result["wanted"] for rate in result["streams"]],
            )
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            where = record["case"]["data"], result["span"], f"{result['readings']:,}"
            yield (*where, f"{result['wanted']:g}", f"{result['rate']:.5f}", f"{ratio:.2f}", span)


_PARTS: dict[str, Iterable[str]] = {
    "nab": ("anomaly",),
    "alarms": ("anomaly",),
    "ltsf": ("ltsf-etth1", "ltsf-ettm1", "plain"),
    "cost": ("ltsf-etth1", "ltsf-ettm1", "plain", "gift", "online", "rolling"),
}
_SEASONAL = "MSE against seasonal naive"
_RATES = [f"{graph}, {batch}" for graph in ("step", "forecast") for batch in (1, 64, 512)]
TABLES: dict[str, tuple[Sequence[str], Callable[[Sequence[Record]], Rows]]] = {
    "ltsf": (
        ("set", "steps", "model", "MSE", "MAE", "WQL", "in 80 %", "one step, MAE", _SEASONAL),
        _ltsf,
    ),
    "gift": (("task", "model", "MASE", "naive's", "relative", "WQL", "relative", "in 80 %"), _gift),
    "online": (("steps", "model", "MSE", "last value", "seasonal naive", _SEASONAL), _online),
    "rolling": (
        (
            "set",
            "streams",
            "model",
            "MASE",
            "WQL",
            "last value",
            "WQL",
            "seasonal naive",
            "WQL",
            "in 80 %",
            "WQL against seasonal naive",
        ),
        _rolling,
    ),
    "book": (("what", "drawings", "MSE", "spread over drawings"), _book),
    "unseen": (
        ("set", "origins", "MASE", "last value", "seasonal naive", "MAE against seasonal naive"),
        _unseen,
    ),
    "holes": (("set", "origins", "MASE", "WQL", "in 80 %", "last value", "seasonal naive"), _holes),
    "start": (("steps since the start", "MSE", "last value", "ratio"), _start),
    "nab": (("score of", "files", "NAB, standard profile"), _nab),
    "alarms": (("set", "rows", "readings", "wanted", "found", "ratio", "ratio by stream"), _alarms),
    "cost": (("set", "steps", "model", "trained in s", "floats", "bytes", *_RATES), _cost),
}
