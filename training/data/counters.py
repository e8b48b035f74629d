"""Counters: meters that only rise until they reset.
The forecast quantity is the increase per interval.

Plain numpy; `training/models/memory/counter.py` is the same arithmetic inside the graph,
one reading at a time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.humanize import many
from eddycast.service.records import Float64
from eddycast.training.data.panel import Panel

READINGS = 48  # needed of a stream to tell its kind
RISING = 0.5  # least share of upward steps of a counter
RESETS = 0.01  # largest share of downward steps
NEAR_ZERO = 0.1  # of the reading before: a reset ends below that
#: Usual sizes of registers.
REGISTERS = sorted(
    [2.0**bits for bits in (8, 10, 12, 15, 16, 20, 24, 31, 32)]
    + [10.0**digits for digits in range(3, 10)]
)
FULL = 1.5  # of the greatest increase: distance from the end at which a register may wrap around
CHANCE = 0.01  # probability of such resets without a register


def increases(values: Float64, register: float | None = None) -> Float64:
    """Increases per interval [T, S] of readings [T, S] (NaN = missing).

    After k missing readings the increase covers k + 1 intervals, and its mean counts for the slot
    that came. A reading below the last one is a reset, and itself the increase since; or, if the
    increase is then at most half of a `register` of that size, the register has wrapped around. A
    negative reading after one that was not is ignored. NaN where no reading came, and at the first
    one.
    """
    rows = np.arange(len(values))[:, None]
    values = np.where((values < 0) & np.logical_or.accumulate(values >= 0, axis=0), np.nan, values)
    latest = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    before = np.concatenate([np.full_like(latest[:1], -1), latest[:-1]])
    last = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    risen = np.where(values < last, _restarted(values, last, register), values - last) / np.maximum(
        rows - before, 1
    )
    return np.where(before >= 0, risen, np.nan)


def _restarted(values: Float64, last: Float64, register: float | None) -> Float64:
    """The increase up to a reading that is below the last one."""
    if register is None:
        return values
    rolled = register - last + values
    return np.where(rolled <= register / 2, rolled, values)


def as_counters(panel: Panel, register: float | None = None) -> Panel:
    """A panel of raw readings as one of increases;
    `readings` keeps the values that the service is fed."""
    values = np.ascontiguousarray(increases(panel.values.T, register).T)
    return replace(panel, values=values, readings=panel.values, register=register)


def parse_register(text: str | None, panel: Panel) -> tuple[float | None, str | None]:
    """The size of the register, None without one, and a remark if it was detected. `text` is an
    option: a size, `none`, or None for detection in the panel. Raises DataError unless the size is
    a positive number."""
    if text is None:
        if (found := find_register(panel)) is None:
            return None, None
        return (
            found,
            (
                f"readings start again at {found:,.0f}: a register "
                "of that size (--register none if they are resets)"
            ),
        )
    if text.strip().lower() == "none":
        return None, None
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise DataError(f"--register {text!r} is not a size", "for example 65536, or none")
    return size, None


def find_register(panel: Panel) -> float | None:
    """The size of the register of a panel's meters: the least size at whose end readings start
    again with increases like all others. None if that happens too seldom to be sure."""
    steps = np.diff(panel.values, axis=1)
    fallen = steps < 0
    rising = steps[steps > 0]
    if not fallen.any() or not len(rising):
        return None
    last, now = panel.values[:, :-1][fallen], panel.values[:, 1:][fallen]
    near = FULL * float(rising.max())
    for size in REGISTERS:
        rolled = size - last + now
        full = (rolled >= 0) & (rolled <= near) & (now >= 0)
        inside = float(np.nanmax(panel.values)) <= size
        if (
            inside
            and full.mean() >= 0.9
            and near < size
            and (near / size) ** np.count_nonzero(full) <= CHANCE
        ):
            return size
    return None


def check_kind(kind: str) -> None:
    """Raises DataError for an unknown kind."""
    if kind not in ("gauge", "counter"):
        raise DataError(f"there is no kind {kind!r}", "choose one of gauge, counter")


def counter_remark(panel: Panel) -> str | None:
    """A remark if every stream that changes rises in most steps and falls only to near zero;
    else None."""
    resets = [_resets(row[~np.isnan(row)]) for row in panel.values]
    found = [count for count in resets if count is not None]
    if not found or min(found) < 0:
        return None
    falls = f"fall only to near zero, {many(sum(found), 'time')}" if sum(found) else "never fall"
    return (
        f"values rise and {falls}, as a meter's: --kind counter forecasts the increase per interval"
    )


def _resets(values: Float64) -> int | None:
    """Number of resets of a stream [n] without missing values;
    -1 if it is no counter, None if it is too short or constant."""
    steps = np.diff(values)
    if len(values) < READINGS or not steps.any():
        return None
    falls = steps < 0
    near_zero = (values[1:] >= 0) & (values[1:] <= NEAR_ZERO * values[:-1])
    rare = np.mean(falls) <= RESETS and np.mean(steps > 0) >= RISING
    return int(np.count_nonzero(falls)) if rare and near_zero[falls].all() else -1
