"""Suspect readings: what is held back, what is accepted, and how the memory moves;
in the graph as over a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.training.export.invariants.checking import close, stepped
from eddycast.training.models.contract import Unrolled
from eddycast.training.models.memory.suspect_readings import ACCEPTED, HOME_SEASONS
from tests.models.zoo import HOUR, forecaster, scale_or_one

AT, STEPS = 200, 420
OFF = 3000  # steps: after as many without noise, next to none is remembered
Change = Callable[[NDArray[np.float64]], None]


def days(seed: int = 0, streams: int = 4) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[STEPS, streams] a daily wave around 20, with noise."""
    random = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * np.arange(STEPS) / 24)[:, None] * random.uniform(0.5, 2, streams)
    return 20 + wave + random.normal(0, 0.3, (STEPS, streams)), (470_000 + np.arange(STEPS)) * HOUR


def changed(change: Change, seed: int = 0) -> NDArray[np.float64]:
    values, _ = days(seed)
    change(values)
    return values


def put(where: slice, what: Any) -> Change:
    return lambda values: values.__setitem__(where, what)


def unrolled(values: NDArray[np.float64], kind: str = "ar") -> Unrolled:
    return forecaster(kind).unroll(values, days()[1])


FAULTS: dict[str, Change] = {
    "a spike": put(slice(AT, AT + 1), 65535.0),
    "a spike below": put(slice(AT, AT + 1), -127.0),
    "two codes": put(slice(AT, AT + 2), 65535.0),
    "a long code": put(slice(AT, AT + 30), 65535.0),
    "a code near zero": put(slice(AT, AT + 8), -999.25),
    "a level": lambda values: values.__setitem__(slice(AT, None), values[AT:] + 1e4),
    "two levels": lambda values: (
        values.__setitem__(slice(AT, None), values[AT:] + 1e4),
        values.__setitem__(slice(AT + 60, None), values[AT + 60 :] - 3e5),
    )[0],
    "a unit": lambda values: values.__setitem__(slice(AT, None), values[AT:] * 1e3),
    "a smaller unit": lambda values: values.__setitem__(slice(AT, None), values[AT:] * 1e-3),
    "one a day": put(slice(60, None, 24), 65535.0),
    "spikes with holes": lambda values: (
        values.__setitem__(slice(AT, AT + 12, 2), 1e6),
        values.__setitem__(slice(AT + 1, AT + 12, 3), np.nan),
    )[0],
}


@pytest.mark.parametrize("kind", ["ar", "lstm", "gru-uncalibrated", "ar-nonnegative", "ar-blocks"])
def test_a_history_at_once_is_judged_as_one_reading_after_the_other(kind: str) -> None:
    """Every stream has another fault."""
    model, timestamps = forecaster(kind), days()[1]
    values = np.stack(
        [changed(change, seed)[:, 0] for seed, change in enumerate(FAULTS.values())], 1
    )
    at_once, one_by_one = model.unroll(values, timestamps), stepped(model, values, timestamps)
    assert np.isnan(at_once.judged.taken).any(0).all()
    unit = scale_or_one(at_once.scale)
    close("faults", "one_step", at_once.one_step, one_by_one["one_step"], 1e-4, unit[:, :, None])
    close(
        "faults",
        "multi_step",
        at_once.multi_step,
        one_by_one["multi_step"],
        1e-4,
        unit[:, :, None, None],
    )
    close("faults", "transform", at_once.scores[..., 4], one_by_one["scores"][..., 4], 1e-2)


@pytest.mark.parametrize("value", [65535.0, -127.0, 1e30, -1e12])
def test_an_impossible_reading_is_scored_and_held_back(value: float) -> None:
    plain, found = unrolled(days()[0]), unrolled(changed(put(slice(AT, AT + 1), value)))
    held = np.isnan(found.judged.taken)
    assert held[AT].all()
    assert held.sum() == held.shape[1]
    assert (found.surprise[AT] > 20).all(), "it is an anomaly"
    assert np.isfinite(found.scores[AT]).all()
    error = np.abs(found.one_step - plain.one_step)[AT + 24 :] / plain.scale[AT + 24 :, :, None]
    assert error.max() < 0.2


def test_four_in_a_row_that_agree_are_a_level_and_the_memory_moves() -> None:
    found = unrolled(changed(FAULTS["a level"]))
    assert np.isnan(found.judged.taken[AT : AT + ACCEPTED - 1]).all()
    assert not np.isnan(found.judged.taken[AT + ACCEPTED - 1 :]).any()
    assert found.judged.offset[-1] == pytest.approx(-1e4, abs=2)
    assert (found.judged.factor == 1.0).all()
    plain = unrolled(days()[0])
    assert found.multi_step[-1] - 1e4 == pytest.approx(plain.multi_step[-1], abs=1.5)
    assert found.scale[-1] == pytest.approx(plain.scale[-1], rel=0.1), (
        "the jump is no change of the stream's own"
    )


def test_readings_that_do_not_agree_are_no_level() -> None:
    sizes = 10.0 ** np.random.default_rng(1).uniform(3, 7, (6, 4))
    found = unrolled(changed(put(slice(AT, AT + 6), sizes * np.resize([1.0, -1.0], (6, 1)))))
    assert np.isnan(found.judged.taken[AT : AT + 6]).mean() > 0.8
    assert np.abs(found.judged.offset[-1]).max() < 1.0


def test_a_load_that_was_off_comes_back_in_its_own_unit() -> None:
    """Off, a load has neither a level nor noise that another unit could be told by."""

    on = 80 + np.random.default_rng(0).integers(0, 8, (OFF + 200, 4)).astype(float)
    on[100:OFF] = 0.0
    found = forecaster("ar").unroll(on, (470_000 + np.arange(len(on))) * HOUR)
    assert (found.judged.factor == 1.0).all()
    assert np.abs(found.one_step[OFF + 30 :]).max() < 200


@pytest.mark.parametrize("factor", [1e3, 1e-3, 100.0])
def test_another_unit_is_told_from_another_level_by_the_noise(factor: float) -> None:
    found = unrolled(
        changed(lambda values: values.__setitem__(slice(AT, None), values[AT:] * factor))
    )
    assert found.judged.factor[-1] == pytest.approx(1 / factor)
    plain = unrolled(days()[0])
    assert found.multi_step[-1] / factor == pytest.approx(plain.multi_step[-1], abs=0.5)


def test_a_sensor_that_was_stuck_goes_home_at_once() -> None:
    found = unrolled(changed(FAULTS["a long code"]))
    assert (found.judged.offset[AT + 29] != 0).all()
    assert not found.judged.offset[AT + 30].any()
    assert not np.isnan(found.judged.taken[AT + 30]).any()


def test_home_is_forgotten_after_seven_seasons() -> None:
    stay = 24 * HOME_SEASONS
    there = put(slice(AT, AT + stay + 20), 65535.0)
    found = unrolled(changed(there))
    assert np.isnan(found.judged.taken[AT + stay + 20]).all(), "a way back so late is a new level"


def test_nothing_is_suspect_before_eight_readings_or_without_a_scale() -> None:
    values, timestamps = days()
    early = values.copy()
    early[5] = 65535.0
    assert not np.isnan(forecaster("ar").unroll(early, timestamps).judged.taken).any()
    constant = np.full_like(values, 5.0)
    constant[100:] = 1e6
    taken = forecaster("ar").unroll(constant, timestamps).judged.taken
    assert not np.isnan(taken[100]).any()


def test_rain_teaches_the_reach_and_a_code_does_not() -> None:
    """Showers of 5 to 60 among days without: few are held back once one was seen.
    65535 stays out, for ever."""
    random = np.random.default_rng(2)
    values = np.where(random.random((3000, 6)) < 0.03, random.exponential(6.0, (3000, 6)), 0.0)
    values[500::250] = 65535.0
    timestamps = (470_000 + np.arange(3000)) * HOUR
    taken = forecaster("ar-nonnegative").unroll(values, timestamps, [2999]).judged.taken
    assert np.isnan(taken[500::250]).all()
    rain = (values > 1) & (values < 1000)
    rain[:500] = False
    assert np.isnan(taken)[rain].mean() < 0.2


def test_a_row_of_suspects_is_bounded_and_starts_with_zeros() -> None:
    state = forecaster("ar").suspects.initial_state(1)
    assert sum(tensor[0].numel() * tensor.element_size() for tensor in state.values()) <= 205
    assert not any(torch.count_nonzero(tensor) for tensor in state.values())


@pytest.mark.parametrize("bad", [-1.0, 0.0])
def test_a_meter_that_says_nothing_and_comes_back(bad: float) -> None:
    """-1 is no reading; a zero looks like a reset,
    and what comes back like an increase that cannot be."""
    model = forecaster("ar-counter")
    values, timestamps = days()
    readings = 1e6 + np.abs(values).cumsum(0)
    broken = readings.copy()
    broken[AT] = bad
    plain, found = model.unroll(readings, timestamps), model.unroll(broken, timestamps)
    error = np.abs(found.one_step - plain.one_step)[AT + 48 :] / plain.scale[AT + 48 :, :, None]
    assert np.median(error) < 0.1
    assert found.scale[-1] == pytest.approx(plain.scale[-1], rel=0.1)


def test_a_meter_that_lost_its_last_minutes_counts_on() -> None:
    model = forecaster("ar-counter")
    values, timestamps = days()
    readings = 1e6 + np.abs(values).cumsum(0)
    plain = model.unroll(readings, timestamps)
    readings[AT:] -= 30.0
    found = model.unroll(readings, timestamps)
    assert found.scale[-1] == pytest.approx(plain.scale[-1], rel=0.05)
