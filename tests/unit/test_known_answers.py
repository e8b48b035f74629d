"""Figures that others published, or that follow from plain definitions,
come out of our protocols."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from eddycast.service.history import read_history
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.every_origin import (
    ONLINE_SPLIT,
    ltsf_tasks,
    online_tasks,
)
from eddycast.training.evaluation.protocols.gift import gift_grid, gift_tasks
from eddycast.training.evaluation.protocols.gift_published import SEASONAL_NAIVE
from eddycast.training.evaluation.protocols.scoring import Scorer
from eddycast.training.evaluation.protocols.task import Task, TaskOptions
from tests.support.shared import SHARED, needs_shared_data

HOUR, DAY = 3_600_000, 86_400_000


@cache
def ett(name: str) -> Panel:
    return make_panel(
        read_history(SHARED / "ett" / f"{name}.csv"), HOUR if name == "ETTh1" else HOUR // 4
    )


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
    task, _ = ltsf_tasks(panel, TaskOptions(horizon, split=split, season_ms=DAY))
    last, season = yardstick_figures(task)
    assert last.origins == 2880 * rows_an_hour - horizon + 1
    assert last.mse == pytest.approx(naive, abs=5e-4)
    assert season.mse == pytest.approx(seasonal, abs=5e-4)


@needs_shared_data
@pytest.mark.parametrize(
    ("horizon", "naive", "seasonal"), [(1, 0.120, 0.910), (24, 1.495, 0.910), (48, 2.640, 0.910)]
)
def test_online_mse_of_the_yardsticks(horizon: int, naive: float, seasonal: float) -> None:
    panel = ett("ETTm1")
    ask = TaskOptions(48, split=Split.parse(ONLINE_SPLIT, len(panel)), season_ms=DAY)
    (task,) = [task for task in online_tasks(panel, ask) if task.horizon == horizon]
    last, season = yardstick_figures(task)
    assert last.mse == pytest.approx(naive, abs=5e-4)
    assert season.mse == pytest.approx(seasonal, abs=5e-4)


@needs_shared_data
@pytest.mark.parametrize("interval_ms", [HOUR, HOUR // 4])
def test_gift_mase_of_seasonal_naive(interval_ms: int) -> None:
    history = read_history(SHARED / "ett" / "ETTm1.csv")
    tasks = gift_tasks(gift_grid(history, interval_ms, 512), TaskOptions(720))
    assert [len(task.origins) for task in tasks] == (
        [20, 4, 3] if interval_ms == HOUR else [20, 15, 10]
    )
    for task in tasks:
        assert yardstick_figures(task)[1].mase == pytest.approx(
            SEASONAL_NAIVE[task.label].mase, abs=5e-4
        )


def yardstick_figures(task: Task) -> list[Figure]:
    """Last value and seasonal naive at every origin of a task."""
    scorer = Scorer(task, "nothing", (0.5,))
    streams = len(task.values)
    for rows in np.array_split(task.origins, 1 + len(task.origins) * len(task.ahead) // 50_000):
        stream, row = np.repeat(np.arange(streams), len(rows)), np.tile(rows, streams)
        scorer.add(stream, row, np.zeros((len(row), len(task.ahead), 1)))
    return [figure for figure in scorer.figures() if figure.model != "nothing"]
