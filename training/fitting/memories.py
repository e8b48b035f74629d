"""The unrolled memory of a problem, some of its streams at a time.

A memory unrolled over a whole history takes some thirty times the room of the history. Streams do
not depend on each other, so sums over all of them are made group by group: what is held does not
grow with their number. A problem of one group keeps its memory, which is then unrolled once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from eddycast.training.fitting.problem import Problem
from eddycast.training.models.channels import FEATURES
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import MemorySpec

CELLS = 1_000_000  # rows x streams x channels that are unrolled at a time
LEAST = 16  # streams, however long: a loop over the rows takes as long for one as for these
HIDDEN = 16_000_000  # numbers in the hidden states that are carried through history at a time
ROW_CELLS = 6_000_000  # features and targets, in numbers, that are read from them at a time


def stream_groups(problem: Problem, cells: int | None = None) -> list[slice]:
    """Slices of the problem's streams that are held together: at most `cells` cells, by default the
    CELLS whose memories are unrolled together, or LEAST streams."""
    rows, streams = problem.values.shape
    most = max(LEAST, (cells or CELLS) // max(1, rows * (1 + len(problem.others))))
    return [slice(first, min(first + most, streams)) for first in range(0, streams, most)]


def groups_to_scan(problem: Problem, units: int) -> list[slice]:
    """Slices of the problem's streams whose hidden states, of so many units, are carried through
    all of history together."""
    return stream_groups(problem, max(1, HIDDEN // max(1, units)))


class Memories:
    """The memories of one specification of all streams of a problem."""

    def __init__(self, problem: Problem, spec: MemorySpec) -> None:
        self.spec = spec
        self._problem = problem
        self._groups = stream_groups(problem)

    @property
    def size(self) -> int:
        """Length of a feature vector."""
        return self.spec.features + len(self._problem.others) * FEATURES

    def pairs_at_once(self, targets: int) -> int:
        """The most pairs of origin and stream whose features and `targets` are read together."""
        return max(1, ROW_CELLS // (self.size + targets))

    def parts(self, problem: Problem) -> Iterator[tuple[Problem, Columns]]:
        """Yield each group of streams as a problem of its own, with its memory. `problem` is the
        one that the memories were made for, or the same history with other cuts."""
        if len(self._groups) == 1:
            yield problem, self._whole
            return
        for streams in self._groups:
            part = problem.of(streams)
            yield part, part.columns(self.spec)

    @cached_property
    def _whole(self) -> Columns:
        return self._problem.columns(self.spec)
