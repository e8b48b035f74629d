"""Live accuracy equals a slow computation, however the records are cut into polls."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.bundle import MANIFEST
from eddycast.service.monitor import accuracy
from eddycast.service.monitor.bundle_facts import NO_FACTS, BundleFacts, bundle_facts
from eddycast.service.monitor.decode import Series
from eddycast.service.monitor.views import one
from eddycast.service.monitor.windows import PARTS, WINDOWS
from tests.monitor.brute_force import by_lead
from tests.monitor.records import MINUTE, START, board, forecast, walks, with_expected
from tests.support.bundles import Walk, write_bundle

STREAMS = ["a", "b", "c"]
SEASON = 30 * MINUTE


def mine(records: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [record for record in records if record["stream"] == stream]


@pytest.mark.parametrize("size", [1, 7, 500, 10_000])
@pytest.mark.parametrize("expects", [False, True])
def test_accuracy_by_lead_is_that_of_a_slow_computation(size: int, expects: bool) -> None:
    records = walks(STREAMS, 400)
    if expects:
        records = with_expected(records)
    filled = board(records, size, season_s=SEASON / 1000)
    for stream in STREAMS:
        place = filled.place(Series(stream, ""))
        assert place is not None
        own = mine(records, stream)
        for window, lines in accuracy.of_series(place).items():
            part = WINDOWS[window] // PARTS
            since = (own[-1]["timestamp"] // part - PARTS + 1) * part
            wanted = by_lead(own, [1, 6, 12], since, SEASON)
            assert [line["lead"] for line in lines] == [1, 6, 12]
            for line, sums in zip(lines, wanted, strict=True):
                assert line["scored"] == sums["n"] > 0
                for name, total in (
                    ("mae", "error"),
                    ("pinball", "pinball"),
                    ("coverage", "covered"),
                    ("last_value_mae", "last_error"),
                ):
                    assert line[name] == pytest.approx(sums[total] / sums["n"], rel=1e-4), name
                assert line["seasonal_naive_mae"] == pytest.approx(
                    sums["season_error"] / sums["season_n"], rel=1e-4
                )


def test_all_streams_together_are_in_scales_so_that_units_do_not_matter() -> None:
    records = walks(["a"], 300)
    larger = [
        record | {
            "stream": "b",
            "value": None if record["value"] is None else record["value"] * 1e4,
            "one_step": [q * 1e4 for q in record["one_step"]],
            "multi_step": [[q * 1e4 for q in step] for step in record["multi_step"]],
        }
        for record in records
    ]  # fmt: skip
    (alone,) = accuracy.of_all(board(records))
    (both,) = accuracy.of_all(
        board([r for pair in zip(records, larger, strict=True) for r in pair])
    )
    for single, two in zip(alone["windows"]["day"], both["windows"]["day"], strict=True):
        assert two["scored"] == 2 * single["scored"]
        assert two["mae"] == pytest.approx(single["mae"], rel=1e-4)
        assert two["of_last_value"] == pytest.approx(single["of_last_value"], rel=1e-4)


def test_readings_beside_their_minute_are_scored() -> None:
    rng = np.random.default_rng(3)
    records = [
        forecast("a", step, float(step % 5), rng, timestamp=START + step * MINUTE + int(late))
        for step, late in enumerate(rng.integers(-14_000, 14_000, 100))
    ]
    place = board(records).place(Series("a", ""))
    assert place is not None
    lines = accuracy.of_series(place)["week"]
    assert [line["scored"] for line in lines] == [99, 94, 88]


def test_a_multi_step_forecast_on_a_grid_of_its_own_is_shown_but_not_scored() -> None:
    records = [r | {"forecast_interval_ms": 5 * MINUTE} for r in walks(["a"], 60)]
    place = board(records).place(Series("a", ""))
    assert place is not None
    assert [line["lead"] for line in accuracy.of_series(place)["day"]] == [1]
    assert np.isfinite(place.panel.fans[place.row]).all()


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_forecasts_of_a_counter_are_compared_with_the_increase_that_the_model_saw(
    size: int,
) -> None:
    """After a reset that is the reading; the first reading is no increase."""
    rng = np.random.default_rng(1)
    readings, increases = [4.0, 9.0, 16.0, 16.0, 24.0, 3.0, 9.0], [5.0, 7.0, 0.0, 8.0, 3.0, 6.0]
    records = [
        forecast("a", step, reading, rng, one_step=[5.0, 6.0, 7.0])
        | ({"expected": [5.0, 6.0, 7.0], "error": increases[step - 1] - 6.0} if step else {})
        for step, reading in enumerate(readings)
    ]
    place = board(records, size, BundleFacts(counter=True)).place(Series("a", ""))
    assert place is not None
    line = accuracy.of_series(place)["hour"][0]
    assert line["scored"] == len(increases)
    assert line["mae"] == pytest.approx(np.mean([abs(rise - 6.0) for rise in increases]))
    shown = place.panel.ring.values(np.full(7, place.row), np.arange(7))
    assert shown == pytest.approx([np.nan, *increases], nan_ok=True)


def test_increases_of_a_counter_are_not_known_without_the_median() -> None:
    rng = np.random.default_rng(1)
    changes = {"quantiles": [0.1, 0.6, 0.9], "expected": [5.0, 6.0, 7.0], "error": 1.0}
    records = [forecast("a", step, float(step), rng, **changes) for step in range(3)]
    place = board(records, facts=BundleFacts(counter=True)).place(Series("a", ""))
    assert place is not None
    assert accuracy.of_series(place)["hour"][0]["scored"] == 0


def test_the_bundle_adds_its_season_and_the_channels_of_its_targets(tmp_path: Path) -> None:
    walk = Walk(
        channels=("flow", "level"), targets=("level",), fields={"seasons_ms": (86_400_000, MINUTE)}
    )
    write_bundle(tmp_path, walk)
    facts = bundle_facts(tmp_path)
    assert (facts.season_ms, facts.counter) == (MINUTE, False)
    rng = np.random.default_rng(1)
    record = forecast("a", 0, 1.0, rng) | {"value": [1.0, 2.0]}
    for known, value in ((facts, 2.0), (NO_FACTS, np.nan)):
        place = board([record], facts=known).place(Series("a", ""))
        assert place is not None
        rows = np.array([place.row])
        shown = place.panel.ring.values(rows, np.array([0]))[0]
        assert shown == pytest.approx(value, nan_ok=True)
    (tmp_path / MANIFEST).write_text("{}")
    assert bundle_facts(tmp_path) == NO_FACTS
    assert bundle_facts(tmp_path / "nowhere") == NO_FACTS


def test_errors_by_hour_of_the_day_are_those_of_the_readings_that_are_held() -> None:
    records = [
        r | {"interval_ms": 600_000, "timestamp": START + i * 600_000}
        for i, r in enumerate(walks(["a"], 150, missing=0.0))
    ]
    filled = board(records, history=150)
    place = filled.place(Series("a", ""))
    assert place is not None
    hours: dict[int, list[float]] = {}
    for before, record in pairwise(records):
        hour = record["timestamp"] // 3_600_000 % 24
        hours.setdefault(hour, []).append(abs(record["value"] - before["one_step"][1]))
    found = one(filled, place, 10)["by_hour"]
    assert {line["hour"]: line["scored"] for line in found} == {h: len(e) for h, e in hours.items()}
    for line in found:
        assert line["mae"] == pytest.approx(np.mean(hours[line["hour"]]), rel=1e-5)
