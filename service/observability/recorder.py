"""Measurements of a turn: time per stage, latencies of forecasts, counts and scores.

Inner packages use no clock; they enter `with stage("step"):` and a `Stopwatch` adds up the time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eddycast.service.bundle import REQUIRED_QUANTILES, Manifest
from eddycast.service.observability.metric_list import ANOMALOUS
from eddycast.service.observability.metrics import Metrics
from eddycast.service.processing.alignment import Verdict
from eddycast.service.processing.engine import Forecasts
from eddycast.service.records import DeadLetter, Float64, Int64

#: Scores without a unit: fractions and probabilities.
UNITLESS = frozenset({"covered_80", "pit"})
#: Limits of a score (interval widths) and of a surprise (nats): the metrics are means over all
#: streams, which one broken sensor must not dominate.
SCORE_LIMIT, SURPRISE_LIMIT = 10.0, 100.0
#: Values of the label `warm`, by whether a stream is.
WARM = ("false", "true")


class _Stage:
    """Adds up the seconds spent inside it. Not reentrant."""

    __slots__ = ("_start", "seconds")

    def __init__(self) -> None:
        self.seconds = self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


class Stopwatch:
    """Time of one turn by stage: `with stopwatch("decode"):`, any number of times."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}

    def __call__(self, name: str) -> _Stage:
        stage = self._stages.get(name)
        if stage is None:
            stage = self._stages[name] = _Stage()
        return stage

    def report(self, metrics: Metrics) -> None:
        """Observe the time of each stage and start the next turn."""
        for name, stage in self._stages.items():
            metrics.stage_seconds.observe(stage.seconds, name)
        self._stages.clear()


class Latencies:
    """Latencies of records from poll or broker time until their forecasts are acknowledged and
    committed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # partition, broker times ms, poll time s
        self._produced: list[tuple[int, Int64, float]] = []
        self._acknowledged: list[tuple[int, Int64]] = []

    def produced(self, partition: int, record_times: Int64, polled: float) -> None:
        """Add forecasts given to the producer.

        `record_times` [n] are broker times, ms; `polled` is the monotonic time of the poll, s.
        """
        self._produced.append((partition, record_times, polled))

    def acknowledged(self) -> None:
        """Observe latencies of all forecasts produced so far as acknowledged."""
        if not self._produced:
            return
        for partition, record_times, polled in self._produced:
            self._metrics.service_seconds.observe_many(
                np.full(len(record_times), time.monotonic() - polled)
            )
            self._metrics.forecasts.inc(len(record_times))
            self._acknowledged.append((partition, record_times))
        ages = _ages(np.concatenate([times for _, times, _ in self._produced]))
        self._metrics.acknowledged_seconds.observe_many(ages)
        self._produced.clear()

    def committed(self) -> None:
        """Observe latencies of all forecasts acknowledged so far as committed."""
        if self._acknowledged:
            ages = _ages(np.concatenate([times for _, times in self._acknowledged]))
            self._metrics.committed_seconds.observe_many(ages)
            self._acknowledged.clear()

    def discard(self) -> None:
        """Drop all pending latencies after a rollback."""
        self._produced.clear()
        self._acknowledged.clear()


def _ages(record_times: Int64) -> Float64:
    """Return seconds since each broker time (ms since the epoch), at least 0;
    NaN where there is none (-1)."""
    ages = np.maximum(time.time() - record_times / 1000, 0.0)
    return np.where(record_times < 0, np.nan, ages)


def count_forecasts(metrics: Metrics, manifest: Manifest, forecasts: Forecasts) -> None:
    """Count verdicts, imputed steps, batch sizes and scores of an engine run."""
    count_verdicts(metrics, forecasts.verdicts)
    metrics.imputed_steps.inc(forecasts.imputed)
    metrics.held_steps.inc(forecasts.held)
    metrics.step_batch_rows.observe_many(forecasts.step_rows)
    lower, upper = (
        manifest.quantiles.index(level) for level in (REQUIRED_QUANTILES[0], REQUIRED_QUANTILES[-1])
    )
    one_step = np.asarray(forecasts.one_step, np.float64)
    scores = scaled(forecasts.scores, manifest.scores, one_step[..., upper] - one_step[..., lower])
    names = manifest.targets, manifest.scores
    count_scores(metrics, *names, scores[forecasts.warm], warm=True)
    count_scores(metrics, *names, scores[~forecasts.warm], warm=False)
    count_surprise(metrics, forecasts.surprise)
    count_anomalies(metrics, forecasts.anomaly)


def count_verdicts(metrics: Metrics, verdicts: NDArray[np.int8]) -> None:
    """Count readings by verdict."""
    for verdict, count in enumerate(np.bincount(verdicts).tolist()):
        if count:
            metrics.readings.labels(Verdict(verdict).name.lower()).inc(count)


def scaled(scores: ArrayLike, names: Sequence[str], widths: ArrayLike) -> Float64:
    """Divide `scores` [n, targets, scores] by the interval width of their stream,
    up to SCORE_LIMIT.

    `widths` [n, targets] are those of the current 80 % intervals, which follow a stream to another
    scale within a few readings. Where the width is 0, an error becomes 0 or SCORE_LIMIT. UNITLESS
    scores are returned as they are.
    """
    column = np.array(scores, np.float64)
    width = np.asarray(widths, np.float64)[..., None]
    sized = [i for i, name in enumerate(names) if name not in UNITLESS]
    most = SCORE_LIMIT * width
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bounded = np.where(column[..., sized] >= most, SCORE_LIMIT, column[..., sized] / width)
        column[..., sized] = np.where(column[..., sized] == 0, 0.0, bounded)
    return column


def count_scores(
    metrics: Metrics, targets: Sequence[str], names: Sequence[str], scores: ArrayLike, *, warm: bool
) -> None:
    """Add scores [n, targets, scores] of the previous forecasts of streams that are `warm`, or are
    not; NaN = no forecast or no value. `targets` and `names` (of the scores) are the manifest's."""
    column = np.asarray(scores, np.float64)
    seen = ~np.isnan(column[..., 0])
    sums = np.where(seen[..., None], column, 0.0).sum(axis=0)
    for i, target in enumerate(targets):
        metrics.scored.labels(target, WARM[warm]).inc(int(seen[:, i].sum()))
        for j, name in enumerate(names):
            metrics.score.labels(target, name, WARM[warm]).inc(float(sums[i, j]))


def count_surprise(metrics: Metrics, surprise: ArrayLike) -> None:
    """Add `surprise` [n], clipped to +-SURPRISE_LIMIT; NaN = no forecast or no value."""
    known = np.asarray(surprise, np.float64)
    known = np.clip(known[~np.isnan(known)], -SURPRISE_LIMIT, SURPRISE_LIMIT)
    if known.size:
        metrics.surprise.observe_many(known)
        metrics.surprise_mean.set(float(known.mean()))


def count_anomalies(metrics: Metrics, anomaly: ArrayLike) -> None:
    """Those of `anomaly` [n] that are ANOMALOUS or more; NaN is none."""
    metrics.anomalies.inc(int(np.count_nonzero(np.asarray(anomaly) >= ANOMALOUS)))


def count_dead_letters(metrics: Metrics, letters: Collection[DeadLetter]) -> None:
    """Count dead letters by error."""
    counts: Counter[str] = Counter()
    for letter in letters:
        counts[letter.error] += max(1, len(letter.places))
    for error, count in counts.items():
        metrics.dead_letters.labels(error).inc(count)
