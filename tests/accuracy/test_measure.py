from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.report import results
from tests.accuracy.__main__ import PAGE, main
from tests.accuracy.anomalies import alarms
from tests.accuracy.cases import PARTS, cases
from tests.accuracy.measure import STARTS, _holes, _start, _unseen, key_of
from tests.accuracy.page import NOT_YET, TABLES, render
from tests.support.bundles import Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
SPLIT = Split(500, 600, 1200)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path, Walk(interval_ms=HOUR, horizon=6, fields={"name": "model"}))
    return tmp_path


def panel(streams: int = 2) -> Panel:
    values = np.cumsum(np.random.default_rng(5).normal(size=(streams, 1200)), axis=1)
    return Panel([f"s{i}" for i in range(streams)], START + np.arange(1200) * HOUR, values, HOUR)


def test_an_unseen_stream_is_served_from_the_end_of_training_on(bundle: Path) -> None:
    data = panel(1)
    far = _unseen(bundle, data, SPLIT)
    assert far[0].origins == 1200 - 6 - (600 + 48)
    # what came before is known to nobody, but scales its MASE
    data.values[:, :600] = -1e6 * np.sin(np.arange(600))
    again = _unseen(bundle, data, SPLIT)
    assert [figure.mae for figure in again] == [figure.mae for figure in far]
    assert again[0].mase != far[0].mase


def test_a_hold_out_with_holes_is_judged_by_all_that_came(bundle: Path) -> None:
    data = panel()
    whole = [
        f for f in backtest(bundle, data, "rolling", SPLIT, season_ms=DAY) if f.model == "naive"
    ]
    holed = [f for f in _holes(bundle, data, SPLIT) if f.model in ("naive", "model")]
    naive = [f for f in holed if f.model == "naive"]
    assert [f.mae for f in naive] == [f.mae for f in whole]
    assert {f.origins for f in holed if f.horizon == 6} == {1200 - 600 - 6 + 1}
    model, baseline = (
        next(f for f in holed if f.model == name and f.horizon == 6) for name in ("model", "naive")
    )
    assert model.mae is not None and baseline.mae is not None
    assert model.mae > baseline.mae  # the bundle repeats the last value that it was told


def test_streams_that_start_are_judged_by_steps_since_then(bundle: Path) -> None:
    data = panel()
    figures = [figure for figure in _start(bundle, data, SPLIT) if figure.model == "naive"]
    assert [figure.origins for figure in figures] == [last - first + 1 for first, last in STARTS]
    train = data.values[:, :500]
    scaled = data.values / train.std(axis=1, keepdims=True)
    starts = range(600, 1200 - 168 - 6, 168)
    origins = np.array([start + step for start in starts for step in (3, 4, 5)])
    errors = scaled[:, origins[:, None] + np.arange(1, 7)] - scaled[:, origins, None]
    assert figures[1].mse == pytest.approx(np.mean(errors**2))


def test_alarms_are_counted_by_stream_on_the_hold_out_and_after_a_month(tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk(interval_ms=HOUR, horizon=6, ranks=True))
    data = panel()
    data.values[0, 1000] = np.nan
    found = {(one["span"], one["wanted"]): one for one in alarms(tmp_path, data, SPLIT)}
    change = np.abs(np.diff(data.values[:, 599:1200]))
    rare = 1 - np.exp(-(change**2) / 2) >= 0.99
    assert found["hold-out", 0.01]["streams"][1] == pytest.approx(rare[1].mean())
    assert found["hold-out", 0.01]["readings"] == 2 * 600 - 1
    assert found["all", 0.001]["readings"] == 2 * (1200 - 30 * 24) - 1


def test_every_case_has_a_name_of_its_own_and_every_part_a_table() -> None:
    for quick in (False, True):
        names = [case.name for case in cases(quick)]
        assert len(set(names)) == len(names)
    assert {case.part for case in cases()} == set(PARTS)
    assert key_of(cases()[0]) != key_of(cases()[1])


def test_records_become_tables_and_the_prose_stays(bundle: Path) -> None:
    told = results(
        "rolling",
        "wind",
        backtest(bundle, panel(), "rolling", SPLIT, season_ms=DAY, per_stream=True),
    )
    rates = {"1": 10, "64": 20, "512": 30}
    record = {
        "case": {
            "part": "rolling",
            "data": "wind",
            "horizon": 0,
            "family": "ar",
            "seed": 0,
            "linear_path": True,
        },
        "cost": {
            "family": "ar",
            "seconds": 1.0,
            "floats": 187,
            "bytes": 1360,
            "step": rates,
            "forecast": rates,
        },
        **json.loads(json.dumps(told)),
    }
    page = PAGE.read_text()
    once = render(page, [record])
    assert "| wind | 2 | `ar`, seed 0 |" in once
    assert "| wind | a day | `ar`, seed 0 | 1 | 187 |" in once
    assert render(once, [record]) == once
    assert render(once, []).count(NOT_YET) == len(TABLES)
    assert "development sets" in once
    with pytest.raises(ValueError, match="no place for the table"):
        render("# Accuracy", [record])


def test_without_the_data_sets_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["accuracy", "--data", str(tmp_path / "nothing")])
    assert main() == 2
    assert "name their folder with --data" in capsys.readouterr().err
