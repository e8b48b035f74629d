"""Detect a narrow history: one stream, or streams that are alike. A model of it has seen little
variety, and its intervals suit similar streams only."""

from __future__ import annotations

import numpy as np

from eddycast.service.humanize import many
from eddycast.service.records import Float64

#: Roughnesses of alike streams lie within this factor.
ALIKE = 1.5
LEAST = 48  # changes that a roughness is taken from


def narrow_note(values: Float64, span: int) -> str:
    """A remark if values [streams, T] (NaN = missing), with a season of `span` steps, are narrow;
    else empty."""
    if len(values) == 1:
        return (
            "narrow: one stream taught this model; one that is "
            "unlike it needs a day or more to find its intervals"
        )
    found = np.array([roughness(row, span) for row in values])
    known = found[np.isfinite(found) & (found > 0)]
    if len(known) < len(values) or known.max() > ALIKE * known.min():
        return ""
    count = many(len(values), "stream")
    return (
        f"narrow: the {count} that taught this model are "
        "alike; one that is unlike them needs a day or more"
    )


def roughness(row: Float64, span: int) -> float:
    """Mean absolute change from step to step as a share of that from season to season: 0 for a
    smooth series, about 1 for noise around a season. It knows no unit. NaN where too few values
    follow each other."""
    steps, seasons = (np.abs(row[lag:] - row[:-lag]) for lag in (1, span))
    if min(np.count_nonzero(~np.isnan(steps)), np.count_nonzero(~np.isnan(seasons))) < LEAST:
        return float("nan")
    season = float(np.nanmean(seasons))
    return float(np.nanmean(steps)) / season if season > 0 else float("inf")
