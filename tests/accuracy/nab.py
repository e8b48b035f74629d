"""The score of the Numenta Anomaly Benchmark, standard profile (Lavin and Ahmad, 2015, "Evaluating
real-time anomaly detection algorithms").

Rows of a file are detections where their score reaches a threshold, one for all files. The earliest
detection inside an anomaly's window counts the more the earlier it comes; a window without one
costs 1; every detection outside costs FALSE, less where a window has just ended. The first rows of
a file, on probation, count for nothing. 0 is what no detection at all scores, 100 what the first
row of every window and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64

FALSE = 0.11  # cost of a detection far from any window
PROBATION, MOST_PROBATION = 0.15, 750  # a share of the rows, and at most so many


@dataclass(frozen=True)
class Scored:
    """A file's scores by row (NaN = none), and the first and last row of each anomaly's window."""

    scores: Float64
    windows: Sequence[tuple[int, int]]


class Best(NamedTuple):
    """A detector's score at its best threshold."""

    score: float
    threshold: float


def probation(rows: int) -> int:
    """Number of probationary rows at the start of a file."""
    return min(int(PROBATION * rows), MOST_PROBATION)


def raw_score(scored: Scored, threshold: float) -> float:
    """The points of one file, before they are related to those of no detection."""
    worth, window = _worth(scored)
    hits = np.nan_to_num(scored.scores, nan=-np.inf) >= threshold
    hits[: probation(len(hits))] = False
    caught = [
        worth[hits & (window == place)].max(initial=-1.0) for place in range(len(scored.windows))
    ]
    return float(worth[hits & (window < 0)].sum() + sum(caught))


def best(files: Sequence[Scored]) -> Best:
    """The largest score of all files together that one threshold gives, and that threshold."""
    scores, worth, window = _rows(files)
    order = np.argsort(-scores, kind="stable")
    count = int(sum(len(file.windows) for file in files))
    caught = np.full(count, -1.0)
    points, most = -float(count), Best(0.0, np.inf)
    for place, row in enumerate(order.tolist()):
        where = window[row]
        gained = worth[row] if where < 0 else max(worth[row] - caught[where], 0.0)
        points += gained
        if where >= 0:
            caught[where] += gained
        last = place + 1 == len(order) or scores[order[place + 1]] != scores[row]
        if last and (score := 50.0 * (points + count) / count) > most.score:
            most = Best(score, float(scores[row]))
    return most


def _rows(files: Sequence[Scored]) -> tuple[Float64, Float64, NDArray[np.int64]]:
    """Scores, worth and window (-1 = none) of the rows of all files that count and have a score."""
    columns = []
    windows = 0
    for file in files:
        worth, window = _worth(file)
        known = ~np.isnan(file.scores)
        known[: probation(len(known))] = False
        columns.append(
            (file.scores[known], worth[known], np.where(window < 0, -1, window + windows)[known])
        )
        windows += len(file.windows)
    scores, worth, window = (np.concatenate(column) for column in zip(*columns, strict=True))
    return scores, worth, window


def _worth(scored: Scored) -> tuple[Float64, NDArray[np.int64]]:
    """The weight of a detection at each row, and the index of the row's window (-1 = none)."""
    rows = len(scored.scores)
    worth, window = np.full(rows, -FALSE), np.full(rows, -1)
    ends = [*(first for first, _ in scored.windows), rows][1:]
    for place, ((first, last), end) in enumerate(zip(scored.windows, ends, strict=True)):
        left = np.arange(last - first + 1, 0, -1) / (last - first + 1)
        worth[first : last + 1] = _sigmoid(-left) / _sigmoid(np.float64(-1.0))
        window[first : last + 1] = place
        past = np.arange(1, end - last) / (last - first)
        worth[last + 1 : end] = FALSE * np.where(past < 3.0, _sigmoid(past), -1.0)
    return worth, window


def _sigmoid(x: Float64 | np.float64) -> Float64:
    return np.asarray(2.0 / (1.0 + np.exp(5.0 * x)) - 1.0)
