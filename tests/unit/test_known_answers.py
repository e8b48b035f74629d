"""Figures that others published, or that follow from plain definitions, come out of our protocols."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from service.history import read_history
from tests.support.shared import SHARED, needs_shared_data
from training.backtest import Judge, make_task
from training.data import Panel, Split, make_panel

HOUR, DAY = 3_600_000, 86_400_000


@cache
def ett(name: str) -> Panel:
    return make_panel(read_history(SHARED / "ett" / f"{name}.csv"), HOUR if name == "ETTh1" else HOUR // 4)


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "horizon", "naive", "seasonal"),
    [
        ("ETTh1", 96, 1.294, 0.512),
        ("ETTh1", 192, 1.325, 0.581),
        ("ETTh1", 336, 1.330, 0.650),
        ("ETTh1", 720, 1.335, 0.655),
        ("ETTm1", 96, 1.214, 0.423),
        ("ETTm1", 192, 1.261, 0.463),
        ("ETTm1", 336, 1.287, 0.496),
        ("ETTm1", 720, 1.322, 0.574),
    ],
)
def test_ltsf_mse_of_the_yardsticks(name: str, horizon: int, naive: float, seasonal: float) -> None:
    panel = ett(name)
    rows_an_hour = HOUR // panel.interval_ms
    split = Split(8640 * rows_an_hour, 11520 * rows_an_hour, 14400 * rows_an_hour)
    judge = Judge(make_task(panel, "ltsf", split, DAY), "nothing", (0.5,), horizon, 1)
    for rows in np.array_split(
        np.arange(split.validation_end - 1, split.end), 1 + 2880 * rows_an_hour * horizon // 50_000
    ):
        stream, row = np.repeat(np.arange(7), len(rows)), np.tile(rows, 7)
        judge.add(stream, row, np.zeros((len(row), horizon, 1)))
    _, last, season = judge.figures()
    assert last.origins == 2880 * rows_an_hour - horizon + 1
    assert last.mse == pytest.approx(naive, abs=5e-4)
    assert season.mse == pytest.approx(seasonal, abs=5e-4)
