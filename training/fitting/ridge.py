"""Ridge regression in closed form, lead by lead;
validation chooses its strength for groups of leads.

Every lead learns from the rows in which its own target was observed. Rows are weighted so that
every stream counts in units of its own standard deviation. Features are divided by their root mean
square first, so that one strength suits all of them (Hoerl and Kennard, 1970).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem

# in shares of the number of rows
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)
GROUP_ENDS = (1, 6, 24, 48, 96, 192, 336, 720)  # groups of leads that share a strength
CHUNK = 512  # origins taken at a time, or nearly twice as many; fewer of wide panels
# numbers (8 bytes each) held at a time, where every target has its own rows
GRAM_CELLS = 32_000_000


@dataclass(frozen=True)
class LinearMap:
    """Weights [features, 1 + leads] from features to the next value and to the leads, in units,
    and the strength of each."""

    weights: NDArray[np.float32]
    strengths: NDArray[np.float64]


@dataclass
class Moments:
    """Sums of products over rows: features with features, features with targets."""

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    rows: int = 0


def fit_linear(problem: Problem, memories: Memories, leads: int) -> LinearMap:
    """Fit the next value and the leads 1 .. `leads` on the train part,
    with strengths chosen on the validation part."""
    groups = [(0, 1), *((1 + lo, 1 + hi) for lo, hi in lead_groups(leads))]
    solved = np.zeros((len(STRENGTHS), memories.size, 1 + leads), np.float32)
    for block in _blocks(problem, memories.size, 1 + leads):
        for alike, moments in _train_moments(problem, memories, block, leads):
            for k, strength in enumerate(STRENGTHS):
                solved[k][:, alike] = solve(moments, strength)

    def choose() -> list[int]:
        errors = _validation_errors(problem, memories, solved)
        return [int(np.argmin(errors[:, lo:hi].sum(1))) for lo, hi in groups]

    best = problem.chosen(("ridge", memories.spec, leads), choose)
    weights = [solved[choice][:, lo:hi] for choice, (lo, hi) in zip(best, groups, strict=True)]
    strengths = [
        np.full(hi - lo, STRENGTHS[choice]) for choice, (lo, hi) in zip(best, groups, strict=True)
    ]
    return LinearMap(np.concatenate(weights, 1), np.concatenate(strengths))


def lead_groups(leads: int) -> list[tuple[int, int]]:
    """Half-open ranges of lead indices (0 = the first) that share a strength."""
    ends = [end for end in GROUP_ENDS if end < leads] + [leads]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _blocks(problem: Problem, size: int, targets: int) -> Iterator[slice]:
    """Targets of one pass over the rows. Without missing values all targets share the rows and the
    sums of products of `size` features; otherwise each target has its own, and GRAM_CELLS bounds
    the number held at a time."""
    whole = not np.isnan(problem.values[: problem.train_end]).any()
    most = targets if whole else max(1, GRAM_CELLS // size**2)
    yield from (slice(start, min(start + most, targets)) for start in range(0, targets, most))


def _rows(
    problem: Problem, memories: Memories, origins: NDArray[np.int64], leads: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Chunks of features [n, features] and targets [n, 1 + leads], in the streams' units."""
    most = memories.pairs_at_once(1 + leads)
    for part, columns in memories.parts(problem):
        for t, s in part.pair_chunks(origins, most, least=len(origins) // CHUNK):
            unit = part.unit[s]
            after = np.concatenate([part.next(t, s), part.windows(t, s, leads)], 1)
            targets = (after - columns.x[t, s][:, None]) / unit[:, None]
            scale = (columns.scale[t, s] / unit)[:, None].astype(np.float32)
            features = columns.features(t, s) * scale
            seen = columns.count[t, s] > 0
            yield features[seen], targets[seen].astype(np.float32)


def _train_moments(
    problem: Problem, memories: Memories, block: slice, leads: int
) -> Iterator[tuple[NDArray[np.int64], Moments]]:
    """Groups of targets of `block` that were observed in the same rows, [targets], and the sums
    over those rows. A row counts for a target that was observed in it, whatever is missing of the
    others."""
    places, size = np.arange(block.start, block.stop), memories.size
    whole, lacking = (
        Moments(np.zeros((size, size)), np.zeros((size, len(places)))),
        _Lacking(size, len(places)),
    )
    for x, y in _rows(problem, memories, problem.train_origins(leads), leads):
        missing = np.isnan(y[:, block])
        gram = x.T @ x
        whole.gram += gram
        whole.cross += x.T @ np.where(missing, np.float32(0), y[:, block])
        whole.rows += len(x)
        lacking.add(x, gram, missing)
    complete = lacking.rows == 0
    if complete.any():
        yield places[complete], replace(whole, cross=whole.cross[:, complete])
    for j in np.flatnonzero(~complete & (lacking.rows < whole.rows)).tolist():
        gram, rows = whole.gram - lacking.gram[j], whole.rows - int(lacking.rows[j])
        yield places[j : j + 1], Moments(gram, whole.cross[:, j : j + 1], rows)


class _Lacking:
    """The rows in which each of `count` targets was missing:
    their number and their sums of products."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.rows = np.zeros(count, np.int64)
        self.gram: dict[int, NDArray[np.float64]] = {}

    def add(
        self, x: NDArray[np.float32], whole: NDArray[np.float32], missing: NDArray[np.bool_]
    ) -> None:
        """Add rows x [n, features] with x'x = `whole`, in which targets [n, count] are `missing`.
        Neighbouring leads lack nearly the same rows, so sums follow from those of the lead before
        where that is less work."""
        self.rows += missing.sum(0)
        before, gram = np.zeros(len(x), bool), np.zeros_like(whole)
        for j in np.flatnonzero(missing.any(0)).tolist():
            out = missing[:, j]
            more, less = x[out & ~before], x[before & ~out]
            if len(more) + len(less) < min(out.sum(), (~out).sum()):
                gram = gram + more.T @ more - less.T @ less
            else:
                gram = x[out].T @ x[out] if 2 * out.sum() <= len(x) else whole - x[~out].T @ x[~out]
            before = out
            self.gram[j] = self.gram.get(j, np.zeros((self.size, self.size))) + gram


def solve(moments: Moments, strength: float) -> NDArray[np.float64]:
    """Least-squares map [features, targets], with a penalty of `strength` per row on every scaled
    weight."""
    rms = np.sqrt(np.maximum(np.diag(moments.gram), 0.0) / max(moments.rows, 1))
    rms = np.where(rms > 0, rms, 1.0)
    scaled = moments.gram / np.outer(rms, rms)
    scaled[np.diag_indices_from(scaled)] += strength * max(moments.rows, 1)
    return np.asarray(np.linalg.solve(scaled, moments.cross / rms[:, None]) / rms[:, None])


def _validation_errors(
    problem: Problem, memories: Memories, solved: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean squared errors [strengths, targets] of the maps `solved` [strengths, features, targets]
    on the validation part, over the rows in which each target was observed; 0 where it never
    was."""
    strengths, _, targets = solved.shape
    errors, rows = np.zeros((strengths, targets)), np.zeros(targets)
    for x, y in _rows(problem, memories, problem.validation_origins(targets - 1), targets - 1):
        for k in range(strengths):
            errors[k] += np.nansum((x @ solved[k] - y) ** 2, 0)
        rows += (~np.isnan(y)).sum(0)
    return errors / np.maximum(rows, 1)
