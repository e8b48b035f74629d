"""Protocols: the origins, leads and scale on which forecasts are scored.

protocol  origins                              scored on                      comparable with
rolling   all of the hold-out                  raw values, mean over streams  runs on the same data
ltsf      all of the hold-out                  z-scored by the train part     long-term forecasting
                                                                              (LTSF)
online    all of a hold-out of fifteen months  z-scored by the train part     online forecasting,
                                                                              leak-free
gift      the last windows of the data, end    raw values                     the leaderboard of
          to end                                                              GIFT-Eval, ett1
book      all whose target follows the train   raw values, k-th step alone    a textbook's
          part                                                                autoregression

Over several streams `rolling` takes WQL and MASE by stream and then the mean; the others pool all
targets, as their sources do. MSE, MAE and coverage are pooled in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eddycast.service.bundle import Manifest
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.processing.replay import usual_gap
from eddycast.training.data.counters import as_counters
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.book import BOOK_SPLIT, book_tasks
from eddycast.training.evaluation.protocols.every_origin import (
    ONLINE_SPLIT,
    ltsf_tasks,
    online_tasks,
    rolling_tasks,
)
from eddycast.training.evaluation.protocols.gift import gift_panel, gift_tasks, relative
from eddycast.training.evaluation.protocols.task import Task, TaskOptions


def _on_its_grid(history: History, manifest: Manifest) -> Panel:
    panel = make_panel(history, manifest.interval_ms, usual_gap(manifest))
    return as_counters(panel, manifest.register_size) if manifest.kind == "counter" else panel


def _as_they_are(figures: Sequence[Figure]) -> list[Figure]:
    return list(figures)


@dataclass(frozen=True)
class Protocol:
    """`measured_on` is the scale as tables name it, `split` the default split (None: shares of the
    data), `main` the measure that the protocol is known for; `counters` False means that it cannot
    score increases, `renews` False that it scores a single model."""

    measured_on: str
    main: str
    tasks: Callable[[Panel, TaskOptions], list[Task]]
    split: str | None = None
    panel: Callable[[History, Manifest], Panel] = _on_its_grid
    finish: Callable[[Sequence[Figure]], list[Figure]] = _as_they_are
    counters: bool = True
    renews: bool = True


PROTOCOLS = {
    "rolling": Protocol("raw values; WQL and MASE by stream, then the mean", "wql", rolling_tasks),
    "ltsf": Protocol("each stream z-scored by its train part", "mse", ltsf_tasks),
    "online": Protocol("each stream z-scored by its train part", "mse", online_tasks, ONLINE_SPLIT),
    "gift": Protocol(
        "raw values pooled",
        "wql",
        gift_tasks,
        panel=gift_panel,
        finish=relative,
        counters=False,
        renews=False,
    ),
    "book": Protocol(
        "raw values, the k-th step alone",
        "mse",
        book_tasks,
        BOOK_SPLIT,
        counters=False,
        renews=False,
    ),
}


def protocol_of(name: str) -> Protocol:
    """Raises DataError for a name that is not in PROTOCOLS."""
    if name not in PROTOCOLS:
        raise DataError(f"no protocol {name!r}", f"there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_for(name: str, manifest: Manifest) -> Protocol:
    """The protocol, if it can score this bundle. Raises DataError."""
    protocol = protocol_of(name)
    if manifest.kind == "counter" and not protocol.counters:
        raise DataError(
            f"{name} scores gauges alone, the bundle is for a counter", "use --protocol rolling"
        )
    return protocol
