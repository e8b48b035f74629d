"""The shape of a forecast: records of equal shape are kept in the same columns."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

#: Leads that are remembered and scored, in forecast intervals, beside one step and the last lead.
REMEMBERED = (6, 24)


#: Longest interval, ms, and most leads or levels; as wide as any bundle's.
_LONGEST_MS, _MOST = 1 << 40, 10_000


class _Fields(NamedTuple):
    interval_ms: int
    forecast_interval_ms: int
    quantiles: tuple[float, ...]
    leads: tuple[int, ...]  # of the multi-step forecast, in forecast intervals; () = not known


class Shape(_Fields):
    """Intervals, quantile levels and leads of a record."""

    @cached_property
    def remembered(self) -> tuple[int, ...]:
        """Leads that are kept with every reading and scored once they are due, rising.

        The first is the one-step forecast, which is kept with the reading that it was for. A
        multi-step forecast on a grid of its own is for the mean of several readings, so none of its
        leads can be scored against one reading.
        """
        if self.forecast_interval_ms != self.interval_ms or not self.leads:
            return (1,)
        further = {lead for lead in (*REMEMBERED, self.leads[-1]) if lead in self.leads}
        return (1, *sorted(further - {1}))

    @cached_property
    def middle(self) -> int:
        """Index of the quantile level nearest to one half."""
        return min(range(len(self.quantiles)), key=lambda i: abs(self.quantiles[i] - 0.5))

    @property
    def nominal(self) -> float:
        """Expected coverage of the interval between the outermost levels."""
        return self.quantiles[-1] - self.quantiles[0]


def checked(shape: Shape) -> Shape:
    """`shape`. Raises ValueError or TypeError if no forecast can have it."""
    intervals = shape.interval_ms, shape.forecast_interval_ms
    if not all(type(ms) is int and 0 < ms <= _LONGEST_MS for ms in intervals):
        raise ValueError("intervals are whole numbers of ms")
    if not shape.quantiles or not _rises(shape.quantiles, 0.0, 1.0):
        raise ValueError("quantile levels rise between 0 and 1")
    if not all(type(lead) is int for lead in shape.leads) or not _rises(
        shape.leads, 0, _LONGEST_MS
    ):
        raise ValueError("leads are whole numbers that rise from 1 on")
    return shape


def _rises(numbers: tuple[float, ...], above: float, below: float) -> bool:
    bounded = (above, *numbers, below)
    return len(numbers) <= _MOST and all(a < b for a, b in pairwise(bounded))
