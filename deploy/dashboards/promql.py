"""Expressions that several panels have in common."""

from __future__ import annotations

#: Selector of all workers of the chosen service.
ALL = '{job="$job"}'


def rate(name: str, by: str = "", selector: str = ALL) -> str:
    """Increase a second of a counter, summed."""
    return f"sum{f' by ({by}) ' if by else ''}(rate(eddycast_{name}{selector}[$__rate_interval]))"


def quantile(level: float, name: str, selector: str = ALL) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({level}, {rate(f'{name}_bucket', 'le', selector)})"


def mean(name: str, by: str = "", selector: str = ALL) -> str:
    """Mean of what a histogram observed."""
    return f"{rate(f'{name}_sum', by, selector)} / {rate(f'{name}_count', by, selector)}"
