"""The longest gap that a bundle bridges: a night without rows is a night, and no new stream every morning."""

from __future__ import annotations

import numpy as np

from service.humanize import many
from service.records import Float64
from training.data.panel import MAX_GAP

OFTEN = 3  # gaps beyond the usual limit: fewer are outages
SLACK = 1.1  # nights grow longer towards winter


def usual_gap(span: int) -> int:
    """Slots bridged unless the data says otherwise: two seasons, at most MAX_GAP."""
    return max(1, min(2 * span, MAX_GAP))


def longest_gap(values: Float64, span: int) -> int:
    """Slots to bridge in values [streams, T] (NaN = no row) with a season of `span`: where gaps beyond the usual limit
    but within a season come OFTEN in a stream, the longest of those, and a little more."""
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
    """What is to be said where gaps are longer than the usual limit: that they are bridged, or that they are not."""
    usual = usual_gap(span)
    gaps = np.concatenate([np.diff(np.flatnonzero(~np.isnan(row))) for row in values] or [np.zeros(0)])
    long = gaps[gaps > usual]
    if not len(long):
        return None
    lost = long[long > bridged]
    if len(lost):
        slots = f"more than {bridged} slots, at most {int(lost.max()):,}"
        return f"readings stop {many(len(lost), 'time')} for {slots}: there a stream begins anew, cold for two seasons"
    times = f"{many(len(long), 'time')} for up to {int(long.max()):,} slots"
    return f"readings stop {times}: gaps up to {bridged:,} are bridged"
