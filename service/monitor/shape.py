"""The shape of a forecast: records of equal shape are kept in the same columns."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

#: Leads that are remembered and scored, in forecast intervals, beside one step and the last lead.
REMEMBERED = (6, 24)


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

        The first is the one-step forecast. A multi-step forecast on a grid of its own is for the
        mean of several readings, so none of its leads can be scored against one reading.
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
