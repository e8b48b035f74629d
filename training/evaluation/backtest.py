"""Backtests: an exported bundle, run over history by the service's own engine,
and scored beside the baselines.

All observations pass once, in time order, so the state is carried from the first row to the last;
at every origin the forecast is made before the next observation is read.
`eddycast.training.evaluation.protocols` selects the origins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.sealing.trust import Trust
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.driving import ScoringProgress, drive, no_progress
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.book import free_run
from eddycast.training.evaluation.protocols.scoring import Observer, Scorer
from eddycast.training.evaluation.protocols.table import protocol_for
from eddycast.training.evaluation.protocols.task import Task, TaskOptions
from eddycast.training.evaluation.renewal import Renewal, drive_renewed


def backtest(
    bundle: Path,
    data: Panel | History,
    protocol: str,
    split: Split | None = None,
    *,
    horizons: Sequence[int] | None = None,
    season_ms: int | None = None,
    per_stream: bool = False,
    report: ScoringProgress = no_progress,
    trust: Trust | None = None,
    renewal: Renewal | None = None,
) -> list[Figure]:
    """Score a bundle and the baselines by a protocol.

    There is one figure for each task and model (for `rolling` and `ltsf`: for each of `horizons`,
    by default the bundle's own, then one step ahead); `per_stream` adds one for each stream.
    `split` None is the protocol's own. `season_ms` is the season of seasonal naive and MASE, by
    default the bundle's shortest. With `renewal` there is a further figure of the bundle and the
    models that replace it. Raises DataError if the data does not fit the bundle, or renewal the
    protocol, BundleError if the bundle is invalid.
    """
    runtime = load_runtime(bundle, trust=trust)
    manifest = runtime.manifest
    rules = protocol_for(protocol, manifest)
    if renewal is not None and not rules.renews:
        raise DataError(
            f"--protocol {protocol} scores a single model",
            "use rolling, ltsf or online with --retrain-every",
        )
    panel = data if isinstance(data, Panel) else rules.panel(data, manifest)
    check_fit(manifest, panel)
    split = split or Split.parse(rules.split, len(panel))
    tasks = rules.tasks(
        target_streams(panel, manifest), TaskOptions.of(manifest, split, season_ms, horizons)
    )
    figures = score_tasks(runtime, tasks, panel, per_stream=per_stream, report=report)
    if renewal is not None:
        renewed = score_tasks(
            runtime, tasks, panel, per_stream=per_stream, report=report, renewal=renewal
        )
        figures = _beside(figures, renewed)
    return rules.finish(figures)


def score_tasks(
    runtime: Runtime,
    tasks: Sequence[Task],
    panel: Panel,
    *,
    per_stream: bool = False,
    observers: Mapping[int, Sequence[Observer]] | None = None,
    report: ScoringProgress = no_progress,
    renewal: Renewal | None = None,
) -> list[Figure]:
    """Forecast a panel at the origins of all tasks in one pass, and score.
    `observers` are keyed by the index of their task."""
    manifest, told = runtime.manifest, observers or {}
    name = manifest.name if renewal is None else f"{manifest.name} renewed"
    scorers = [
        Scorer(task, name, manifest.quantiles, told.get(i, ())) for i, task in enumerate(tasks)
    ]
    passing = [scorer for scorer in scorers if scorer.task.source != "fed_back"]
    if passing:
        origins = np.unique(np.concatenate([scorer.task.origins for scorer in passing]))
        seen = panel.rows(0, max(scorer.task.end for scorer in passing))
        for chunk in (
            drive(runtime, seen, origins, report)
            if renewal is None
            else drive_renewed(runtime, seen, origins, renewal, report)
        ):
            for scorer in passing:
                scorer.take(chunk)
    for scorer in scorers:
        if scorer.task.source == "fed_back":
            for chunk in free_run(runtime, scorer.task):
                scorer.add(chunk.stream, chunk.row, chunk.multi_step)
    return [figure for scorer in scorers for figure in scorer.figures(per_stream)]


def _beside(figures: Sequence[Figure], renewed: Sequence[Figure]) -> list[Figure]:
    """All figures of both, those of a task and stream together, without the baselines twice."""
    known = {figure.model for figure in figures}
    both = [*figures, *(figure for figure in renewed if figure.model not in known)]
    places: dict[object, int] = {}
    for figure in both:
        places.setdefault(_place(figure), len(places))
    return sorted(both, key=lambda figure: places[_place(figure)])


def _place(figure: Figure) -> object:
    return figure.task, figure.horizon, figure.stream


def check_fit(manifest: Manifest, panel: Panel) -> None:
    """Raises DataError unless the bundle can be scored on the panel."""
    if not panel.observations:
        raise DataError("no stream has a value", "check the value columns and --missing")
    if manifest.interval_ms != panel.interval_ms:
        raise DataError(
            f"the bundle's interval is {format_duration(manifest.interval_ms)}, "
            f"the data's {format_duration(panel.interval_ms)}",
            "read the data with the bundle's interval",
        )
    if manifest.kind != panel.kind:
        raise DataError(
            f"the bundle is for a {manifest.kind}, the panel is of a {panel.kind}",
            "read the data as the bundle's kind",
        )
    if len(manifest.channels) != panel.width:
        raise DataError(
            f"the bundle has the channels {', '.join(manifest.channels)}, the data "
            f"{', '.join(panel.channels) or 'one a stream'}",
            "name as many with --channels",
        )


def target_streams(panel: Panel, manifest: Manifest) -> Panel:
    """The series of a panel that a bundle forecasts:
    the channels at the positions of its targets."""
    return (
        panel.only([panel.channels[place] for place in manifest.target_channels])
        if panel.channels
        else panel
    )
