"""`--kind counter` from history to forecasts through the service's own path."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from eddycast.service.__main__ import run
from eddycast.service.bundle import Manifest
from eddycast.service.errors import DataError
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.counters import (
    as_counters,
    counter_remark,
    find_register,
    increases,
    parse_register,
)
from eddycast.training.data.panel import Panel, fingerprint
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.recipe import Recipe
from eddycast.training.train import train_bundle

pytestmark = pytest.mark.trains

HOUR = 3_600_000
START = 1_700_000_000_000 // HOUR * HOUR


def meters(rows: int = 480, resets: bool = True) -> NDArray[np.float64]:
    """[2, rows] energy meters: more by day than by night, noise, holes;
    the second starts late and again."""
    rng = np.random.default_rng(5)
    wave = 3 + 2 * np.sin(2 * np.pi * np.arange(rows) / 24)
    readings = (wave * np.array([[1.0], [50.0]]) * rng.uniform(0.8, 1.2, (2, rows))).cumsum(1)
    readings += np.array([[48_211_734.25], [7.0]])
    if resets:
        readings[1, 200:] -= readings[1, 199]
    readings[rng.random(readings.shape) < 0.05] = np.nan
    readings[1, :10] = np.nan
    return np.asarray(readings, np.float64)


def panel_of(readings: NDArray[np.float64]) -> Panel:
    return Panel(["a", "b"], START + np.arange(readings.shape[1]) * HOUR, readings, HOUR)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("meters") / "meters.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "a", "b"])
        for hour, row in enumerate(meters().T):
            stamp = (datetime(2024, 1, 1) + timedelta(hours=hour)).isoformat()
            writer.writerow(
                [stamp, *("" if np.isnan(value) else repr(float(value)) for value in row)]
            )
    return path


def train(history: Path, out: Path, *more: str) -> int:
    return run(
        [
            "train",
            str(history),
            "--family",
            "ar",
            "--season",
            "24h",
            "--horizon",
            "6",
            "--no-refit",
            "--no-calibration",
            "--out",
            str(out),
            *more,
        ]
    )


def test_from_history_to_forecasts(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output's `value` is the reading; forecasts are of increases,
    and better than the last one."""
    assert train(history, tmp_path / "b", "--kind", "counter") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "as a meter's" not in said
    assert "warning" not in said
    manifest = read_manifest(tmp_path / "b")
    assert (manifest.kind, manifest.support) == ("counter", "nonnegative")
    assert "counter" in [spec.name for spec in manifest.state]
    out = tmp_path / "forecasts.parquet"
    assert run(["replay", str(tmp_path / "b"), str(history), "--out", str(out)]) == 0
    replayed = pl.read_parquet(out).filter(pl.col("stream") == "a").sort("timestamp")
    readings = meters()[0]
    given = replayed["value"].to_numpy().astype(float)
    assert np.array_equal(
        given,
        readings if len(given) == len(readings) else readings[~np.isnan(readings)],
        equal_nan=True,
    )
    median = np.array([row[4] if row is not None else None for row in replayed["one_step"]], float)
    came = increases(given[:, None])[:, 0]
    error = np.abs(median[:-1] - came[1:])[240:]
    assert np.nanmean(error) < 0.8
    assert np.isnan(median[0])
    assert run(["backtest", str(tmp_path / "b"), str(history)]) == 0


def test_protocols_of_gauges_are_refused(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(history, tmp_path / "b", "--kind", "counter", "--family", "naive") == 0
    for protocol in ("gift", "book"):
        assert run(["backtest", str(tmp_path / "b"), str(history), "--protocol", protocol]) == 2
        assert f"{protocol} scores gauges alone" in " ".join(capsys.readouterr().err.split())


def test_another_kind_is_refused_in_a_line(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(history, tmp_path / "b", "--kind", "meter") == 2
    error = capsys.readouterr().err
    assert "there is no kind 'meter'" in " ".join(error.split())
    assert "Traceback" not in error


def test_a_meter_taken_for_a_gauge_is_said_and_stays_one(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(history, tmp_path / "b", "--family", "naive") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "note: values rise and fall only to near zero, 1 time, as a meter's: --kind counter" in said
    )
    assert read_manifest(tmp_path / "b").kind == "gauge"
    assert train(history, tmp_path / "b", "--family", "naive", "--kind", "gauge") == 0
    assert "as a meter's" not in " ".join(capsys.readouterr().out.split())


def test_only_what_rises_is_taken_for_a_meter() -> None:
    assert "never fall," in (counter_remark(panel_of(meters(resets=False))) or "")
    wave = np.sin(np.arange(480) / 4) + 5
    for other in (
        wave,
        np.where(np.arange(480) % 50 == 49, 0.7, 1.0) * np.arange(480),
        np.full(480, 3.0),
    ):
        mixed = meters()
        mixed[:] = other
        assert counter_remark(panel_of(mixed)) is None
    one = meters()
    one[1] = wave
    assert counter_remark(panel_of(one)) is None


def test_a_counter_is_judged_as_the_gauge_of_its_increases(tmp_path: Path) -> None:
    """Same panel, differenced beforehand or in the graph: the same model, baselines and figures."""
    raw = panel_of(meters())
    counters, split = as_counters(raw), Split.parse(None, len(raw))
    gauge = replace(counters, readings=None)
    recipe = Recipe(family="ar", horizon=6, seasons_ms=(24 * HOUR,), support="nonnegative")
    inside, figures = train_bundle(counters, recipe, split, tmp_path / "inside")
    before, expected = train_bundle(gauge, recipe, split, tmp_path / "before")
    for found, wanted in zip(figures, expected, strict=True):
        for measure in ("origins", "mse", "mae", "wql", "mase", "coverage_80"):
            expect = getattr(wanted, measure)
            close = None if expect is None else pytest.approx(expect, rel=1e-4)
            assert getattr(found, measure) == close, measure
    assert [spec for spec in inside.state if spec.name != "counter"] == list(before.state)
    assert inside.row_bytes == before.row_bytes + 16
    assert inside.training is not None
    assert inside.training.fingerprint == fingerprint(raw.rows(0, len(raw)))
    with pytest.raises(DataError, match="the bundle is for a counter, the panel is of a gauge"):
        backtest(tmp_path / "inside", raw, "rolling", split)


def test_a_manifest_of_before_is_of_a_gauge(history: Path, tmp_path: Path) -> None:
    assert train(history, tmp_path / "b", "--family", "naive", "--kind", "gauge") == 0
    fields = read_manifest(tmp_path / "b").model_dump()
    del fields["kind"]
    assert Manifest(**fields).kind == "gauge"


@pytest.mark.parametrize("size", [1000.0, 65_536.0, 2.0**32])
def test_a_register_is_found_where_readings_start_again_at_its_end(size: float) -> None:
    steps = np.random.default_rng(3).uniform(0.8, 1.2, (2, 600)) * size / 25
    rolled = panel_of(np.asarray(steps.cumsum(1) % size, np.float64))
    assert find_register(rolled) == size
    found, note = parse_register(None, rolled)
    assert found == size
    assert f"{size:,.0f}" in (note or "")
    assert "--register none" in (note or "")
    np.testing.assert_allclose(as_counters(rolled, found).values[:, 1:], steps[:, 1:], rtol=1e-6)


def test_resets_are_no_register() -> None:
    assert find_register(panel_of(meters())) is None
    assert find_register(panel_of(meters(resets=False))) is None
    swapped = np.tile(np.arange(100.0) * 37, (2, 6))
    assert find_register(panel_of(swapped)) is None


def test_a_register_that_is_told() -> None:
    panel = panel_of(meters())
    assert parse_register("none", panel) == (None, None)
    assert parse_register("65536", panel) == (65_536.0, None)
    for text in ("x", "0", "-1", "inf"):
        with pytest.raises(DataError, match="is not a size"):
            parse_register(text, panel)


def test_the_bundle_carries_the_register(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = 2500 * np.random.default_rng(3).uniform(0.9, 1.1, 480)
    rows = "".join(
        f"{START + i * HOUR},{int(value)}\n" for i, value in enumerate(steps.cumsum() % 65_536)
    )
    (tmp_path / "data.csv").write_text("timestamp,pulses\n" + rows)
    assert train(tmp_path / "data.csv", tmp_path / "b", "--kind", "counter") == 0
    assert "a register of that size" in capsys.readouterr().out
    manifest = read_manifest(tmp_path / "b")
    assert manifest.register_size == 65_536
    errors = [figure.mae for figure in manifest.backtest if figure.model == manifest.name]
    assert all(error is not None and error < 300 for error in errors)
