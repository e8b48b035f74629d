"""A backtest as one self-contained HTML file, and its pictures as PNGs (matplotlib, extra
`demo`)."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eddycast.service.model.loading import load_runtime
from eddycast.service.sealing.trust import Trust
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import score_tasks, target_streams
from eddycast.training.evaluation.driving import ScoringProgress, no_progress
from eddycast.training.evaluation.error_breakdown import ErrorBreakdown
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.plot import plot_forecasts, require_matplotlib
from eddycast.training.evaluation.protocols.table import protocol_of
from eddycast.training.evaluation.protocols.task import TaskOptions
from eddycast.training.evaluation.report import number, remarks

_COLORS = {"naive": "#999999", "seasonal_naive": "#d08a2e"}
_MODEL = "#1f6fb4"
_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%}table{border-collapse:collapse}\
td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}"""


def write_html_report(
    path: Path,
    bundle: Path,
    panel: Panel,
    protocol: str,
    split: Split,
    *,
    horizons: Sequence[int] | None = None,
    season_ms: int | None = None,
    report: ScoringProgress = no_progress,
    trust: Trust | None = None,
) -> list[Path]:
    """Score a bundle and write `path` (HTML), with two PNGs beside it; return their paths.

    The pictures show fans of forecasts at several origins, and error by lead, reliability of the
    quantiles, and error by hour of the day, all for the longest task of the protocol. Raises
    MissingExtra without matplotlib, else as a backtest.
    """
    require_matplotlib()
    runtime, rules = load_runtime(bundle, trust=trust), protocol_of(protocol)
    manifest = runtime.manifest
    tasks = rules.tasks(
        target_streams(panel, manifest), TaskOptions.of(manifest, split, season_ms, horizons)
    )
    longest = max(
        (i for i, task in enumerate(tasks) if task.source != "fed_back"),
        key=lambda i: (len(tasks[i].ahead), -i),
    )
    breakdown = ErrorBreakdown(tasks[longest], manifest.name, manifest.quantiles)
    figures = rules.finish(
        score_tasks(runtime, tasks, panel, observers={longest: [breakdown]}, report=report)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fans, errors = (path.with_name(f"{path.stem}-{name}.png") for name in ("forecasts", "errors"))
    plot_forecasts(
        fans, bundle, panel, Split(split.train_end, split.validation_end, tasks[longest].end)
    )
    _draw(errors, breakdown, rules.measured_on)
    title = f"{manifest.label}, {protocol}: {rules.measured_on}"
    path.write_text(_html(title, figures, remarks(figures, protocol), [fans, errors]))
    return [fans, errors]


def _draw(path: Path, breakdown: ErrorBreakdown, measured_on: str) -> None:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(15, 4.2), layout="constrained", dpi=110)
    lead, reliable, hour = canvas.subplots(1, 3)
    for axis, curves, places, label in (
        (lead, breakdown.by_lead, breakdown.ahead, "rows ahead"),
        (hour, breakdown.by_hour, np.arange(24), "hour of the day (UTC)"),
    ):
        for model, errors in curves.items():
            axis.plot(
                places,
                errors,
                "." if len(places) == 1 else "-",
                color=_COLORS.get(model, _MODEL),
                label=model,
            )
        axis.set_xlabel(label)
        axis.set_ylabel(f"mean absolute error ({measured_on})", fontsize=8)
        axis.legend(fontsize=8)
    reliable.plot([0, 1], [0, 1], color="#999999", lw=0.8)
    reliable.plot(breakdown.levels, breakdown.reliability, "o-", color=_MODEL)
    reliable.set_xlabel("quantile")
    reliable.set_ylabel("share of targets at or below it")
    for axis in (lead, reliable, hour):
        axis.grid(alpha=0.25)
    canvas.savefig(path)


def _html(
    title: str, figures: Sequence[Figure], lines: Sequence[str], pictures: Sequence[Path]
) -> str:
    head = ("model", "task", "steps", "origins", "MSE", "MAE", "WQL", "MASE", "in 80 %")
    rows = [
        (one.model, one.task or "all", f"{one.horizon}", f"{one.origins:,}",
         *map(number, (one.mse, one.mae, one.wql, one.mase, one.coverage_80)))
        for one in figures
    ]  # fmt: skip
    body = [
        f"<h1>{html.escape(title)}</h1>",
        _table(head, rows),
        "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>",
        *(_image(picture) for picture in pictures),
    ]
    start = (
        "<!doctype html>\n"
        f'<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    )
    return f"{start}<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</html>\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = ["".join(f"<th>{name}</th>" for name in head)]
    cells += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}"></p>'
