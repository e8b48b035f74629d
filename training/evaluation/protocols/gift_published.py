"""Published scores for the tasks of `gift`: GIFT-Eval's leaderboard for its set ett1,
MASE and WQL."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """Scores of one model on one task."""

    mase: float
    wql: float


#: Denominators of relative scores. The WQL of seasonal naive rests on quantiles of the benchmark's
#: own method, so it cannot be computed here; its MASE can, and is tested.
SEASONAL_NAIVE = {
    "15T short": Published(0.934, 0.241),
    "15T medium": Published(1.188, 0.322),
    "15T long": Published(1.191, 0.340),
    "H short": Published(0.977, 0.240),
    "H medium": Published(1.568, 0.435),
    "H long": Published(1.479, 0.471),
}
