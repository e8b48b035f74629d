"""Suspect readings in training: readings that a forecaster would hold back in service are not
learned from either.

A linear autoregression is fitted to all readings, judges them as the graph will
(`training/models/memory/suspect_readings.py`), and is fitted again to the rest until it holds back
the same readings. A new level reaches the memory as the old one, moved, here and in every family
that is fitted afterwards.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.service.humanize import many
from eddycast.training.fitting.families import fit_ar
from eddycast.training.fitting.memories import stream_groups
from eddycast.training.fitting.problem import Problem
from eddycast.training.models import Forecaster
from eddycast.training.models.linear import LIGHT_LAGS, LIGHT_RATES

ROUNDS = 3
PASSES = 8  # over the readings, at most; a history that needs more consists of faults
NAMED = 3  # streams named in the remark


def screened(problem: Problem) -> tuple[Problem, NDArray[np.bool_]]:
    """The problem without suspect readings, and the readings [T, S] held back. A history that no
    linear autoregression can be fitted to is returned unchanged."""
    given, held = problem, np.zeros(problem.values.shape, bool)
    for _ in range(ROUNDS):
        try:
            rule = fit_ar(problem, LIGHT_LAGS, LIGHT_RATES)
        except DataError:
            break
        taken = _taken(rule, given)
        again = ~np.isnan(given.values) & np.isnan(taken)
        if np.array_equal(again, held):
            break
        problem, held = replace(given, values=taken), again
    return problem, held


def _taken(rule: Forecaster, given: Problem) -> NDArray[np.float64]:
    """The readings [T, S] that the memory of `rule` accepts."""
    taken = np.empty_like(given.values)
    for streams in stream_groups(given):
        part = given.of(streams)
        judged = rule.judge(part.values, part.timestamps, part.beside, PASSES)
        taken[:, streams] = judged.taken
    return taken


def suspects_note(
    held: NDArray[np.bool_], streams: list[str], timestamps: NDArray[np.int64]
) -> str:
    """A remark about the readings [T, S] held back, with the streams that have most of them;
    empty if there are none."""
    counts = held.sum(0)
    if not counts.any():
        return ""
    worst = np.argsort(-counts, kind="stable")[: min(NAMED, int(np.count_nonzero(counts)))]
    first = {
        s: np.datetime64(int(timestamps[np.argmax(held[:, s])]), "ms").astype("M8[s]")
        for s in worst.tolist()
    }
    named = ", ".join(
        f"{counts[s]:,} of {streams[s]} (the first at {first[s]})" for s in worst.tolist()
    )
    more = np.count_nonzero(counts) - len(worst)
    rest = f", the others of {many(int(more), 'more stream')}" if more else ""
    return (
        f"{many(int(counts.sum()), 'reading')} far from all "
        f"forecasts held back in training: {named}{rest}"
    )
