"""Long gaps: how many slots without a reading are stepped one by one, and what the gaps of a
history mean for the service."""

from __future__ import annotations

import numpy as np

from eddycast.service.bundle import SETTLING
from eddycast.service.humanize import many
from eddycast.service.records import Float64, Int64
from eddycast.training.data.panel import MAX_GAP

#: A gap of over this part of a season is a night, if there is one in at least half of the seasons.
NIGHT, OFTEN = 1 / 8, 0.5


def stepped_gap(span: int) -> int:
    """Slots from one reading to the next that are stepped over one by one, for a season of `span`
    slots: four seasons without a reading, within MAX_GAP, and never fewer than are stepped after a
    jump. Longer gaps are jumped over."""
    return 1 + max(SETTLING, min(4 * span, MAX_GAP))


def night_share(values: Float64, season: int) -> float:
    """The share of slots that lie in nights without readings, in the median stream of values
    [streams, T] (NaN = no reading); 0 without a `season`, in slots."""
    if not season:
        return 0.0
    shares = [_night_share(np.flatnonzero(~np.isnan(row)), season) for row in values]
    return float(np.median(shares))


def _night_share(seen: Int64, season: int) -> float:
    """The same of one stream with readings in the slots `seen`, ascending: from the end of its
    first night to the end of its last one."""
    gaps = np.diff(seen)
    night = (gaps > max(NIGHT * season, 1)) & (gaps < season)
    ends, lengths = seen[1:][night], gaps[night] - 1
    if len(ends) < 2 or len(ends) < OFTEN * (seen[-1] - seen[0]) / season:
        return 0.0
    return float(lengths[1:].sum() / (ends[-1] - ends[0]))


def gap_note(values: Float64, longest: int) -> str | None:
    """A remark if gaps of values [streams, T] (NaN = no reading) are over `longest` slots, after
    which a service with default settings begins a stream anew; else None."""
    gaps = np.concatenate(
        [np.diff(np.flatnonzero(~np.isnan(row))) for row in values] or [np.zeros(0)]
    )
    lost = gaps[gaps > longest]
    if not len(lost):
        return None
    slots = f"more than {longest:,} slots, at most {int(lost.max()):,}"
    return (
        f"readings stop {many(len(lost), 'time')} for {slots}: there a stream begins anew, cold "
        "for two seasons, unless time.state_ttl_s is longer"
    )
