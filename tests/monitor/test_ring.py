"""Rings of readings: bounded, the same however records are cut, repeated, or turned back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.decode import Series
from eddycast.service.monitor.views import one
from tests.monitor.records import MINUTE, START, board, forecast, same, walks


def shown(filled: Board, stream: str = "a") -> dict[str, Any]:
    place = filled.place(Series(stream, ""))
    assert place is not None
    return one(filled, place, 1_000)


@pytest.mark.parametrize("size", [1, 13, 100])
@pytest.mark.parametrize("history", [8, 30, 200])
def test_a_picture_does_not_depend_on_the_size_of_polls(size: int, history: int) -> None:
    records = walks(["a", "b", "c"], 150, seed=4)
    whole = board(records, 10_000, history=history)
    cut = board(records, size, history=history)
    for stream in ("a", "b", "c"):
        same(shown(whole, stream), shown(cut, stream))


def test_records_that_come_again_count_once() -> None:
    records = walks(["a", "b"], 80)
    again = records[:100] + records[60:100] + records[100:]
    filled = board(again, 37)
    assert filled.repeats == 40
    for stream in ("a", "b"):
        same(shown(board(records), stream), shown(filled, stream))


def test_a_clock_that_was_set_back_begins_anew() -> None:
    rng = np.random.default_rng(1)
    ahead = [forecast("a", step + 5_000, 1.0, rng) for step in range(10)]
    right = [forecast("a", step, 2.0, rng) for step in range(10)]
    history = shown(board(ahead + right))["history"]
    assert list(history["timestamps"]) == [START + step * MINUTE for step in range(10)]
    assert np.isnan(history["expected"][0]).all()


def test_streams_beyond_the_limit_are_counted_and_not_kept() -> None:
    rng = np.random.default_rng(1)
    filled = board([forecast(f"s{i}", 0, 1.0, rng) for i in range(7)], max_streams=5)
    assert (len(filled), filled.beyond) == (5, 2)


def test_a_stream_without_records_is_forgotten_and_makes_room() -> None:
    rng = np.random.default_rng(1)
    day = 24 * 60
    records = [forecast(f"s{i}", i * day + step, 1.0, rng) for i in range(10) for step in range(3)]
    filled = board(records, 3, max_streams=5, forget_after_s=3 * 86_400)
    assert (filled.beyond, len(filled)) == (0, 4)
    assert filled.place(Series("s5", "")) is None
    for i in range(6, 10):
        wanted = [record["timestamp"] for record in records if record["stream"] == f"s{i}"]
        assert list(shown(filled, f"s{i}")["history"]["timestamps"]) == wanted
        assert shown(filled, f"s{i}")["accuracy"]["week"][0]["scored"] == 2


def test_a_model_of_another_shape_begins_a_new_history() -> None:
    rng = np.random.default_rng(1)
    old = [forecast("a", step, 1.0, rng) for step in range(10)]
    new = [
        forecast("a", step, 1.0, rng, interval_ms=5 * MINUTE, model="new@2")
        for step in range(10, 50, 5)
    ]
    filled = board(old + new, 4)
    assert len(filled) == 1
    assert len(shown(filled)["history"]["timestamps"]) == 8
    assert [len(panel) for panel in filled.panels.values()] == [0, 1]


def test_a_forecast_without_leads_keeps_the_last_fan() -> None:
    rng = np.random.default_rng(1)
    records = [forecast("a", step, 1.0, rng) for step in range(6)]
    for record in records[4:]:
        record["multi_step"] = None
    fan = shown(board(records))["fan"]
    assert fan["issued"] == records[3]["timestamp"]
    assert fan["quantiles"].tolist() == records[3]["multi_step"]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"stream":"a"}',
        b"\xff\xfe",
        {"one_step": [1.0, 2.0]},
        {"multi_step": [[1.0]]},
        {"multi_step": []},
        {"stream": 7},
        {"stream": None},
        {"timestamp": "now"},
        {"timestamp": 2**70},
        {"value": "warm"},
        {"quantiles": []},
        {"quantiles": ["low"]},
        {"interval_ms": 0},
        {"interval_ms": "minute"},
        {"interval_ms": -5},
        {"one_step": {"a": 1}},
        {"model": 3},
    ],
    ids=repr,
)
def test_a_record_that_is_no_forecast_is_counted_and_passed_over(junk: Any) -> None:
    rng = np.random.default_rng(1)
    good = [forecast("a", step, 1.0, rng) for step in range(4)]
    bad = junk if isinstance(junk, bytes) else forecast("a", 2, 1.0, rng) | junk
    filled = board([*good[:2], bad, *good[2:]])
    assert filled.unreadable == 1
    assert len(shown(filled)["history"]["timestamps"]) == 4
