"""A trial: a candidate beside the champion, on readings that neither has seen in training.

Both start from the champion's rows, those of the candidate taken over as a promotion would: a
comparison of the states that they would be in. Losses are paired: those of the same streams, at the
same origins, of the same targets. Each is the quantile loss (the mean over levels and leads) in
units of the stream's own seasonal change before the trial, so that no stream weighs more for its
unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.bundle import Manifest
from eddycast.service.comparison.significance import VERDICT_BLOCKS, Difference, paired
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import Float64
from eddycast.service.state.arena import Arena
from eddycast.training.data.panel import Panel
from eddycast.training.data.slot_means import trailing_means
from eddycast.training.evaluation.backtest import target_streams
from eddycast.training.evaluation.driving import drive
from eddycast.training.evaluation.metrics import mase_scales, pinball
from eddycast.training.evaluation.renewal import adopted


def block_rows(manifest: Manifest) -> int:
    """Rows after which errors are taken as independent: horizon and season."""
    season = min(manifest.seasons_ms, default=0) // manifest.interval_ms
    return manifest.horizon * _stride(manifest) + season


class Outcome(NamedTuple):
    """Relative differences of the candidate's loss to the champion's; below 0 it is better."""

    horizon: Difference
    one_step: Difference
    blocks: int  # of time, with a forecast that could be scored
    streams: int  # targets of streams with such a forecast


@dataclass(frozen=True)
class _Losses:
    """Losses of one model [series, rows] from the start of the trial; NaN = not scored."""

    horizon: Float64
    one_step: Float64


def least_rows(manifest: Manifest) -> int:
    """Rows of a trial without gaps: VERDICT_BLOCKS blocks of origins, and the last targets."""
    return VERDICT_BLOCKS * block_rows(manifest) + manifest.horizon * _stride(manifest)


def last_row(panel: Panel, start: int, least: int, manifest: Manifest) -> int | None:
    """The row at which a trial from row `start` ends: `least` rows later, and not before
    VERDICT_BLOCKS blocks of time have readings; None if the panel ends earlier.

    It follows from the readings alone, not from the day on which the trial is looked at.
    """
    block = block_rows(manifest)
    seen: NDArray[np.bool_] = np.asarray(~np.isnan(panel.values[:, start:]).all(axis=0))
    edges = np.arange(0, len(seen) - block + 1, block)
    full = edges[[bool(seen[edge : edge + block].any()) for edge in edges]] + block
    if len(full) < VERDICT_BLOCKS:
        return None
    end = start + max(least, int(full[VERDICT_BLOCKS - 1]) + manifest.horizon * _stride(manifest))
    return end if end <= len(panel) else None


def tried(champion: Runtime, candidate: Runtime, panel: Panel, start: int, end: int) -> Outcome:
    """Compare two models of the same grid, targets and horizon on the rows [start, end) of a panel;
    the rows before bring the champion's state about."""
    arena = Arena(champion.manifest.state, capacity=max(len(panel.streams), 1))
    for _ in drive(champion, panel.rows(0, start), np.empty(0, np.int64), arena=arena):
        pass
    own = adopted(arena, champion, candidate)
    one = _losses(champion, panel, start, end, arena)
    other = _losses(candidate, panel, start, end, own)
    block = block_rows(champion.manifest)
    horizon, blocks, streams = _paired(other.horizon, one.horizon, block)
    one_step, _, _ = _paired(other.one_step, one.one_step, block)
    return Outcome(horizon, one_step, blocks, streams)


def _losses(runtime: Runtime, panel: Panel, start: int, end: int, arena: Arena) -> _Losses:
    """Losses of a model that continues the rows of `arena` at row `start`."""
    manifest = runtime.manifest
    judged, stride = target_streams(panel, manifest), _stride(manifest)
    season = min(manifest.seasons_ms, default=0) // manifest.interval_ms
    levels = np.array(manifest.quantiles)
    ahead = np.arange(1, manifest.horizon + 1) * stride
    means = trailing_means(judged.values[:, :end], stride)
    scale = mase_scales(judged.values[:, :start], season or 1)
    scale = np.where(scale > 0, scale, np.nan)
    shape = len(judged.streams), end - start
    found = _Losses(np.full(shape, np.nan), np.full(shape, np.nan))
    for chunk in drive(runtime, panel.rows(start, end), np.arange(end - start), arena=arena):
        fits = chunk.row + ahead[-1] < end - start
        stream, row = chunk.stream[fits], chunk.row[fits]
        unit = scale[stream, None]
        target = means[stream[:, None], start + row[:, None] + ahead]
        loss = _loss(target, chunk.multi_step[fits].astype(np.float64), levels) / unit
        found.horizon[stream, row] = _mean(loss)
        following = judged.values[stream, start + row + 1]
        one = chunk.one_step[fits][:, None].astype(np.float64)
        found.one_step[stream, row] = _mean(_loss(following[:, None], one, levels) / unit)
    return found


def _loss(target: Float64, forecast: Float64, levels: Float64) -> Float64:
    """Quantile losses [n, leads] of forecasts [n, leads, levels]."""
    loss: Float64 = 2 * pinball(target[..., None] - forecast, levels).mean(axis=2)
    return loss


def _mean(losses: Float64) -> Float64:
    """Means over the leads [n] whose target is known; NaN without any."""
    known = ~np.isnan(losses)
    count = known.sum(axis=1)
    total = np.where(known, losses, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _paired(ours: Float64, theirs: Float64, block: int) -> tuple[Difference, int, int]:
    """The difference of losses [series, rows], the number of blocks and of series in it."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    sums = [np.where(both, losses, 0.0).sum(axis=0) for losses in (ours, theirs)]
    seen: NDArray[np.bool_] = np.asarray(both.any(axis=0))
    found, blocks = paired(sums[0], sums[1], seen, block)
    return found, blocks, int(both.any(axis=1).sum()) if blocks else 0


def _stride(manifest: Manifest) -> int:
    return manifest.forecast_interval_ms // manifest.interval_ms
