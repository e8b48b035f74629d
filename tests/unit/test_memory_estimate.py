"""A training that will not fit into memory is refused before it begins, with what would fit."""

from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.training.data.panel import Panel
from eddycast.training.memory_estimate import estimated_bytes, memory_note
from eddycast.training.recipe import Recipe

STREAMS, ROWS = 100, 20_000
PANEL = Panel(
    [f"s{s}" for s in range(STREAMS)],
    np.arange(ROWS) * 60_000,
    np.zeros((STREAMS, ROWS)),
    60_000,
)
AR, LSTM = (estimated_bytes(PANEL, family) for family in ("ar", "lstm"))


def test_a_training_that_fits_is_not_mentioned_and_one_that_nearly_does_not_is() -> None:
    assert memory_note(PANEL, Recipe("lstm"), 2 * LSTM) == ""
    note = memory_note(PANEL, Recipe("lstm"), LSTM)
    assert note == (
        "100 series of 20,000 rows take about 1.9 GB to train lstm, this process may use 1.9 GB"
    )


def test_a_training_that_does_not_fit_is_refused_and_what_would_fit_is_named() -> None:
    with pytest.raises(DataError, match=r"may use 1\.5 GB.*--family ar \(about 1\.4 GB\)"):
        memory_note(PANEL, Recipe("auto"), 1_500_000_000)
    with pytest.raises(DataError, match="fewer streams") as refused:
        memory_note(PANEL, Recipe("lstm"), 1_000_000_000)
    assert "--family ar" not in str(refused.value)


def test_the_limit_of_this_process_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddycast.training.memory_estimate.memory_limit", lambda: AR - 1)
    with pytest.raises(DataError):
        memory_note(PANEL, Recipe("ar"))
