"""Checks that a history suffices to train and score a forecaster, before anything is fitted."""

from __future__ import annotations

import numpy as np

from eddycast.service.durations import format_duration
from eddycast.service.errors import DataError
from eddycast.service.humanize import many
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split


def check_panel(panel: Panel, horizon: int, season_ms: int | None, split: Split) -> None:
    """Raises DataError unless some stream changes in the train part and has enough observed values
    in all three parts, and the season fits into the train part.

    A stream that never changes has no scale to learn on.
    """
    train = panel.values[:, : split.train_end]
    changes = np.fmax.reduce(train, axis=1) > np.fmin.reduce(train, axis=1)
    if np.isnan(train).all():
        raise DataError(
            "no stream has a value in the train part",
            "check --split, the value columns and the stamps",
        )
    if not changes.any():
        raise DataError(
            "no stream changes in the train part: nothing to learn from",
            "check --split and --columns",
        )
    parts = {
        "train part": (0, split.train_end, 2 * horizon),
        "validation part": (split.train_end, split.validation_end, 2 * horizon),
        "hold-out": (split.validation_end, split.end, horizon),
    }
    for part, (start, stop, needed) in parts.items():
        found = int(np.count_nonzero(~np.isnan(panel.values[changes, start:stop]), axis=1).max())
        if found < needed:
            raise DataError(
                f"the {part} has {many(found, 'value')}, a horizon of {horizon} needs {needed}",
                "give more history, another --split or a shorter --horizon",
            )
    if season_ms and season_ms > split.train_end * panel.interval_ms:
        raise DataError(
            f"a season of {format_duration(season_ms)} is longer than the train part of "
            f"{format_duration(split.train_end * panel.interval_ms)}",
            "give more history or a shorter --season",
        )
