"""Error and coverage of streams that the service has never seen, by the number of readings since
their first, on the hold-out, one step ahead and at the end of the horizon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from eddycast.service.bundle import ColdStartFigure, Manifest
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import Float64
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import target_streams
from eddycast.training.evaluation.driving import drive

#: Bounds of the stages, readings since the first one.
STAGES = (2, 12, 24, 48, 96, 200, 500)
#: At most so many streams are started anew, evenly spaced among all: the figures are means.
STREAMS = 64
#: A stage with fewer scored readings has no figure.
LEAST = 20


def cold_start(runtime: Runtime, panel: Panel, split: Split) -> tuple[ColdStartFigure, ...]:
    """Figures of streams that begin at the start of the hold-out; empty if that is too short."""
    stop = min(split.end, split.validation_end + STAGES[-1] + runtime.manifest.horizon)
    fresh = _some(panel.rows(split.validation_end, stop))
    if not fresh.observations:
        return ()
    made = _forecasts(runtime, fresh)
    values = target_streams(fresh, runtime.manifest).values
    return tuple(
        figure for lead in _leads(runtime.manifest) for figure in _stages(made, values, lead)
    )


def _leads(manifest: Manifest) -> Iterator[int]:
    """One step, and the end of a horizon on the same grid."""
    yield 1
    if manifest.horizon > 1 and manifest.forecast_interval_ms == manifest.interval_ms:
        yield manifest.horizon


def _some(panel: Panel) -> Panel:
    """At most STREAMS of the panel's streams, with all their channels."""
    count = len(panel.streams) // panel.width
    chosen = np.unique(np.linspace(0, count - 1, min(count, STREAMS)).astype(int))
    rows = (chosen[:, None] * panel.width + np.arange(panel.width)).ravel()
    return panel.take(rows.tolist())


def _forecasts(runtime: Runtime, panel: Panel) -> Float64:
    """Low, middle and high quantile made at each row, [series, T, 2 leads, 3]; NaN = none."""
    series = len(target_streams(panel, runtime.manifest).streams)
    made = np.full((series, len(panel), 2, 3), np.nan)
    levels = [runtime.manifest.quantiles.index(level) for level in (0.1, 0.5, 0.9)]
    for chunk in drive(runtime, panel, np.arange(len(panel))):
        made[chunk.stream, chunk.row, 0] = chunk.one_step[:, levels]
        made[chunk.stream, chunk.row, 1] = chunk.multi_step[:, -1][:, levels]
    return made


def _stages(made: Float64, values: Float64, lead: int) -> Iterator[ColdStartFigure]:
    """The figures of one lead."""
    target, last = values[:, lead:], values[:, :-lead]
    low, middle, high = np.moveaxis(made[:, :-lead, 0 if lead == 1 else 1], -1, 0)
    seen = np.cumsum(~np.isnan(values), axis=1)[:, :-lead]
    naive = np.abs(target - last)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = np.count_nonzero(~np.isnan(naive), axis=1, keepdims=True)
        unit = np.nansum(naive, axis=1, keepdims=True) / np.maximum(pairs, 1)
        scored = ~np.isnan(target) & ~np.isnan(middle) & ~np.isnan(naive) & (unit > 0)
        inside, error = (low <= target) & (target <= high), np.abs(target - middle) / unit
        rival = naive / unit
    for start, stop in pairwise(STAGES):
        own = scored & (seen >= start) & (seen < stop)
        if np.count_nonzero(own) >= LEAST and (against := float(rival[own].mean())) > 0:
            yield ColdStartFigure(
                lead=lead,
                readings_from=start,
                readings_until=stop,
                scored=int(np.count_nonzero(own)),
                coverage_80=float(inside[own].mean()),
                relative_mae=float(error[own].mean()) / against,
            )


def describe(figures: Sequence[ColdStartFigure]) -> str:
    """A sentence about one step ahead, empty without figures."""
    own = [figure for figure in figures if figure.lead == 1]
    if not own:
        return ""
    parts = [
        f"{figure.coverage_80:.0%} of readings {figure.readings_from} to "
        f"{figure.readings_until - 1} (error {figure.relative_mae:.2f} x last value)"
        for figure in own
    ]
    return f"the 80 % interval of a stream never seen before has {', '.join(parts)}"
