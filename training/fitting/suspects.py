"""Suspect readings in training: what a forecaster will hold back in service teaches it nothing either.

A linear autoregression is fitted on all readings, judges them as the graph will
(`training/models/memory/suspects.py`), and is fitted again on what is left, until it holds back the same. Its memory
takes a new level as the old one, moved, and so do the families that are fitted after it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.errors import DataError
from service.humanize import many
from training.fitting.families import fit_ar
from training.fitting.problem import Problem
from training.models.linear import LIGHT_LAGS, LIGHT_RATES

ROUNDS = 3
PASSES = 8  # of a judgement: what is left then is a history of faults
NAMED = 3  # streams


def screened(problem: Problem) -> tuple[Problem, NDArray[np.bool_]]:
    """The problem as a forecaster will take it, and the readings [T, S] that it holds back. A history that a linear
    autoregression cannot be fitted on is taken as it is."""
    given, held = problem, np.zeros(problem.values.shape, bool)
    for _ in range(ROUNDS):
        try:
            rule = fit_ar(problem, LIGHT_LAGS, LIGHT_RATES)
        except DataError:
            break
        judged = rule.judge(given.values, given.timestamps, given.beside, PASSES)
        again = ~np.isnan(given.values) & np.isnan(judged.taken)
        if np.array_equal(again, held):
            break
        problem, held = replace(given, values=judged.taken), again
    return problem, held


def suspects_note(held: NDArray[np.bool_], streams: list[str], timestamps: NDArray[np.int64]) -> str:
    """How many readings [T, S] are held back, and where; nothing where none is."""
    counts = held.sum(0)
    if not counts.any():
        return ""
    worst = np.argsort(-counts, kind="stable")[: min(NAMED, int(np.count_nonzero(counts)))]
    first = {s: np.datetime64(int(timestamps[np.argmax(held[:, s])]), "ms").astype("M8[s]") for s in worst.tolist()}
    named = ", ".join(f"{counts[s]:,} of {streams[s]} (the first at {first[s]})" for s in worst.tolist())
    more = np.count_nonzero(counts) - len(worst)
    rest = f", the others of {many(int(more), 'more stream')}" if more else ""
    return f"{many(int(counts.sum()), 'reading')} far from all forecasts held back in training: {named}{rest}"
