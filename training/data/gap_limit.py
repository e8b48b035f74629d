"""The longest gap that a bundle bridges, so that a night without readings starts no new stream in
the morning."""

from __future__ import annotations

import numpy as np

from eddycast.service.humanize import many
from eddycast.service.records import Float64
from eddycast.training.data.panel import MAX_GAP

OFTEN = 3  # gaps beyond the usual limit: fewer are outages
SLACK = 1.1  # nights grow longer towards winter


def usual_gap(span: int) -> int:
    """Slots bridged by default: two seasons, at most MAX_GAP."""
    return max(1, min(2 * span, MAX_GAP))


def longest_gap(values: Float64, span: int) -> int:
    """Slots to bridge in values [streams, T] (NaN = no reading) with a season of `span` slots: a
    little more than the longest gap within a season, if gaps over the default come OFTEN in a
    stream; else the default."""
    usual = usual_gap(span)
    longest = 0
    for row in values:
        seen = np.flatnonzero(~np.isnan(row))
        gaps = np.diff(seen)
        nightly = gaps[(gaps > usual) & (gaps <= span)]
        if len(nightly) >= OFTEN:
            longest = max(longest, int(nightly.max()))
    return max(usual, min(span, int(SLACK * longest)))


def gap_note(values: Float64, span: int, bridged: int) -> str | None:
    """A remark if gaps are longer than the default: that they are bridged, or that they are not.
    Else None."""
    usual = usual_gap(span)
    gaps = np.concatenate(
        [np.diff(np.flatnonzero(~np.isnan(row))) for row in values] or [np.zeros(0)]
    )
    long = gaps[gaps > usual]
    if not len(long):
        return None
    lost = long[long > bridged]
    if len(lost):
        slots = f"more than {bridged} slots, at most {int(lost.max()):,}"
        return (
            f"readings stop {many(len(lost), 'time')} for {slots}: "
            "there a stream begins anew, cold for two seasons"
        )
    times = f"{many(len(long), 'time')} for up to {int(long.max()):,} slots"
    return f"readings stop {times}: gaps up to {bridged:,} are bridged"
