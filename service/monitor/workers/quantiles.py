"""Quantiles of what a Prometheus histogram has counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import numpy as np

from eddycast.service.records import Float64


class Buckets(NamedTuple):
    """Upper edges, ascending, and the number of values up to each of them."""

    edges: Float64
    counts: Float64

    @classmethod
    def of(cls, counts: Mapping[float, float]) -> Self:
        """Buckets by upper edge. Raises ValueError if an edge is no number."""
        if any(map(math.isnan, counts)):
            raise ValueError("a bucket has no upper edge")
        edges = sorted(counts)
        return cls(np.array(edges), np.array([counts[edge] for edge in edges]))

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts[-1]) if len(self.counts) else 0

    def since(self, before: Buckets | None) -> Self:
        """Counts since `before`; all counts if the edges differ."""
        if before is None or not np.array_equal(before.edges, self.edges):
            return self
        return type(self)(self.edges, self.counts - before.counts)

    def quantile(self, level: float) -> float | None:
        """The value below which this part lies, as if values were spread evenly within a bucket,
        the first of which begins at 0; None without values. Values above the last finite edge count
        as that edge."""
        rank = level * self.total
        if rank <= 0:
            return None
        counts = np.maximum.accumulate(self.counts)
        at = int(np.searchsorted(counts, rank))
        low, before = (self.edges[at - 1], counts[at - 1]) if at else (0.0, 0.0)
        if not math.isfinite(self.edges[at]):
            return float(low)
        part = (rank - before) / (counts[at] - before)
        return float(low + (self.edges[at] - low) * part)


def summed(several: Iterable[Buckets]) -> Buckets | None:
    """The sum of buckets that have the edges of the first of them; None without any."""
    total: Buckets | None = None
    for buckets in several:
        if total is None:
            total = buckets
        elif np.array_equal(total.edges, buckets.edges):
            total = Buckets(total.edges, total.counts + buckets.counts)
    return total
