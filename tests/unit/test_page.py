from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.error_breakdown import ErrorBreakdown
from eddycast.training.evaluation.html_report import write_html_report
from eddycast.training.evaluation.protocols.every_origin import rolling_tasks
from eddycast.training.evaluation.protocols.scoring import Scorer
from eddycast.training.evaluation.protocols.task import TaskOptions
from tests.support.bundles import OFFSETS, QUANTILES, Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
SPLIT = Split(100, 140, 200)


def panel() -> Panel:
    values = np.cumsum(np.random.default_rng(5).normal(size=(2, 200)), axis=1)
    values[0, 150:155] = np.nan
    return Panel(["a", "b"], START + np.arange(200) * HOUR, values, HOUR)


def test_errors_by_step_and_hour_and_how_often_quantiles_hold() -> None:
    data = panel()
    task = rolling_tasks(data, TaskOptions(3, split=SPLIT))[0]
    breakdown = ErrorBreakdown(task, "m", QUANTILES)
    scorer = Scorer(task, "m", QUANTILES, [breakdown])
    rows, medians = (
        np.tile(task.origins, 2),
        np.random.default_rng(1).normal(size=(2 * len(task.origins), 3)),
    )
    stream = np.repeat([0, 1], len(task.origins))
    scorer.add(stream, rows, medians[..., None] + OFFSETS)
    target = data.values[stream[:, None], rows[:, None] + [1, 2, 3]]
    error = np.abs(target - medians)
    np.testing.assert_allclose(breakdown.by_lead["m"], np.nanmean(error, axis=0))
    hour = (rows[:, None] + [1, 2, 3]) % 24
    np.testing.assert_allclose(
        breakdown.by_hour["m"], [np.nanmean(error[hour == h]) for h in range(24)]
    )
    below = [np.sum(target <= medians + offset) / np.sum(~np.isnan(target)) for offset in OFFSETS]
    np.testing.assert_allclose(breakdown.reliability, below)
    assert set(breakdown.by_lead) == {"m", "naive"}


@pytest.mark.parametrize("protocol", ["rolling", "ltsf"])
def test_the_page_needs_nothing_beside_it(tmp_path: Path, protocol: str) -> None:
    write_bundle(tmp_path / "bundle", Walk(interval_ms=HOUR, horizon=6))
    page = tmp_path / "new" / "page.html"
    pictures = write_html_report(page, tmp_path / "bundle", panel(), protocol, SPLIT, season_ms=DAY)
    assert [picture.name for picture in pictures] == ["page-forecasts.png", "page-errors.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    text = page.read_text()
    assert len(re.findall(r'src="data:image/png;base64,', text)) == 2
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "seasonal_naive" in text
