"""Calibration in the row: intervals that are too narrow or too wide find their width on the stream
itself."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.data.slot_means import trailing_means
from eddycast.training.models import Forecaster, Mixture, Naive, Target
from eddycast.training.models.contract import View
from eddycast.training.models.quantiles.calibration import anchors_of
from eddycast.training.models.quantiles.widths import LIMIT, RATES
from tests.models.zoo import LEVELS, OFFSETS, PLAIN, forecaster, scale_or_one, streams

HOUR = 3_600_000


def naive(width: float, horizon: int = 12) -> Forecaster:
    """The last value with an interval of `width` times OFFSETS, the same for every lead."""
    model = Naive(Target(HOUR, horizon, LEVELS))
    model.offsets_one.copy_(OFFSETS * width)
    model.offsets_multi.copy_(OFFSETS * width)
    return model.eval()


def noise(steps: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values = np.random.default_rng(3).normal(50, 2, (steps, count))
    return values, np.arange(steps) * HOUR


def coverage(forecasts: NDArray[np.float64], came: NDArray[np.float64]) -> float:
    """Share of `came` [T, S] inside the 80 % interval of `forecasts` [T, S, Q]."""
    return float(np.mean((came >= forecasts[..., 0]) & (came <= forecasts[..., -1])))


@pytest.mark.parametrize("width", [0.6, 1.0, 2.5])
def test_the_interval_covers_four_in_five_whatever_its_first_width(width: float) -> None:
    values, timestamps = noise(3000, 8)
    out = naive(width).unroll(values, timestamps)
    assert coverage(out.one_step[1000:-1], values[1001:]) == pytest.approx(0.8, abs=0.02)
    for lead in (1, 6, 12):
        found = coverage(out.multi_step[1000:-lead, :, lead - 1], values[1000 + lead :])
        assert found == pytest.approx(0.8, abs=0.02), lead


def test_between_anchors_the_width_is_interpolated_and_beyond_the_last_it_stays() -> None:
    values, timestamps = noise(1500, 1)
    model = naive(0.5, horizon=200)
    last = model.unroll(values, timestamps, origins=[1499]).multi_step[0, 0]
    width = np.log(last[:, -1] - last[:, 0])
    assert anchors_of(200) == (1, 6, 24, 48, 96)
    share = np.log(12 / 6) / np.log(24 / 6)
    assert width[11] == pytest.approx((1 - share) * width[5] + share * width[23], abs=1e-4)
    assert np.allclose(width[95:], width[95], atol=1e-5)
    assert (
        sum(tensor[0].numel() * tensor.element_size() for tensor in model.initial_state(1).values())
        < 16_384
    )


@pytest.mark.parametrize(
    ("horizon", "anchors"), [(1, (1,)), (6, (1, 6)), (12, (1, 6, 12)), (720, (1, 6, 24, 48, 96))]
)
def test_anchors_end_with_the_horizon(horizon: int, anchors: tuple[int, ...]) -> None:
    assert anchors_of(horizon) == anchors


def test_a_decoder_goes_no_further_in_a_step_than_its_last_anchor() -> None:
    """The intervals of two days calibrate on the first:
    a step would else cost as much as a forecast."""
    model: Any = forecaster("seq2seq-long")
    assert model.calibration.anchors == (1, 6, 24)
    assert anchors_of(6, model.anchors) == (1, 6)
    values, timestamps = streams("seq2seq-long", 30, 4)
    state = model.initial_state(4)
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((4,), int(stamp))
            state = model.step(torch.as_tensor(value)[:, None], when, state).state
        view = View(model.memory.read(state), when, model.latent.read(state))
        gone: list[int] = []
        decode = model._decode

        def watched(view: View, centre: Tensor) -> Tensor:
            gone.append(centre.shape[1])
            return cast(Tensor, decode(view, centre))

        model._decode = watched
        try:
            some = model.units_at(view, model.calibration.leads)
        finally:
            del model._decode
        assert torch.allclose(some, model.multi_step_units(view)[:, [0, 5, 23]], atol=1e-6)
    assert gone == [24]
    assert state["bounds"].shape[-1] == 1 + 6 + 24


def test_a_mixture_calibrates_where_all_its_members_do() -> None:
    members = [forecaster("lstm"), forecaster("seq2seq")]
    assert Mixture(members).anchors == (1, 6, 24)


@pytest.mark.parametrize("kind", ["ar", "lstm"])
def test_a_pending_interval_is_the_one_that_was_made(kind: str) -> None:
    """Through changes of anchor and scale, an outlier, and holes: 12 steps on it is still the same
    interval, before it was stretched. Forecasts from less than a season of readings are not
    pending."""
    model: Any = forecaster(kind)
    values, timestamps = streams(kind, 120, 3)
    values[60, 0] = 4000.0
    state = model.initial_state(3)
    emitted: list[Any] = []
    season: list[Any] = []
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((3,), int(stamp))
            if len(emitted) >= 12:
                frame = model.memory.frame(state)
                unit = scale_or_one(frame.scale.numpy())
                for due, lead in zip(model.calibration.due, (1, 6, 12), strict=True):
                    centre, half = state["bounds"][:, :, due].T
                    wanted = emitted[-lead][:, lead - 1]
                    known = half.numpy() > 0
                    assert np.array_equal(known, season[-lead])
                    for found, level in ((centre - half, 0), (centre + half, -1)):
                        difference = (
                            frame.raw(found[:, None])[:, 0].numpy() - wanted[:, level]
                        ) / unit
                        assert np.abs(difference[known]).max(initial=0) < 1e-4
            state = model.step(torch.as_tensor(value)[:, None], when, state).state
            plain = state | {"stretch": torch.zeros_like(state["stretch"])}
            emitted.append(model.forecast(when, plain)[:, :, 0].numpy())
            season.append(state["judged"][:, 0].numpy() >= model.span)
    assert season[-13].all()


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_means_over_blocks_calibrate_where_the_noise_grows(holes: float) -> None:
    """Noise that grows faster than the scale follows:
    widths learned in training would cover too little."""
    steps, block = 12_000, 4
    random = np.random.default_rng(5)
    values = random.normal(50, 1, (steps, 8)) * np.linspace(1, 4, steps)[:, None]
    values[random.random(values.shape) < holes] = np.nan
    timestamps = np.arange(steps) * HOUR
    model, plain = (
        Naive(Target(HOUR, 6, LEVELS, block=block, calibrated=on)).eval() for on in (True, False)
    )
    origins = np.arange(steps // 2, steps - 6 * block)
    means = trailing_means(values.T, block).T
    found = {}
    for one in (model, plain):
        one.offsets_one.copy_(OFFSETS)
        one.offsets_multi.copy_(OFFSETS * 0.5)
        ahead = one.unroll(values, timestamps, origins.tolist()).multi_step
        found[one] = [
            coverage(ahead[:, :, lead - 1], means[origins + lead * block]) for lead in (1, 6)
        ]
    assert found[model] == pytest.approx([0.8, 0.8], abs=0.03)
    assert all(abs(wrong - 0.8) > 0.08 for wrong in found[plain]), found[plain]


def widths_by_step(
    model: Forecaster,
    values: NDArray[np.float64],
    timestamps: NDArray[np.int64],
    name: str = "stretch",
) -> list[NDArray[np.float32]]:
    """The log-widths `name` [streams, columns] of the state after every step."""
    state, widths = model.initial_state(values.shape[1]), []
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            state = model.step(
                torch.as_tensor(value)[:, None], torch.full((len(value),), int(stamp)), state
            ).state
            widths.append(state[name].numpy())
    return widths


def test_a_row_of_blocks_holds_as_many_intervals_as_one_of_slots() -> None:
    """And the widths of means move at the ends of blocks alone, whatever is missing of them."""
    model = Naive(Target(HOUR, 6, LEVELS, block=12))
    model.offsets_multi.copy_(OFFSETS * 0.5)
    assert model.initial_state(1)["bounds"].shape[-1] == 1 + 6
    values, timestamps = noise(240, 1)
    values[100:105] = np.nan
    widths = np.stack(widths_by_step(model, values, timestamps, "widths"))[:, 0, len(RATES) :]
    moved = 1 + np.flatnonzero((np.diff(widths, axis=0) != 0).any(1))
    assert len(moved) > 15 and (moved % 12 == 11).all()


def test_a_missing_value_moves_no_width() -> None:
    model = naive(0.6)
    values, timestamps = noise(60, 2)
    values[30:50] = np.nan
    widths = widths_by_step(model, values, timestamps)
    assert np.array_equal(widths[29], widths[49])
    assert not np.array_equal(widths[28], widths[29])
    assert (widths[50] != widths[49]).all(), (
        "intervals from before and from inside the hole are due"
    )


def test_a_width_stays_within_its_limit() -> None:
    """However long nothing misses (or everything does), the way back is short."""
    values, timestamps = noise(4000, 1)
    never = naive(500.0).unroll(values, timestamps, origins=[3999])
    always = naive(1e-4).unroll(values, timestamps, origins=[3999])
    for out, width, sign in ((never, 500.0, -1), (always, 1e-4, 1)):
        gap = (out.one_step[-1, 0, -1] - out.one_step[-1, 0, 0]) / out.scale[-1, 0]
        assert gap == pytest.approx(2.1 * width * np.exp(sign * LIMIT), rel=1e-3)


@pytest.mark.parametrize("width", [0.1, 5.0])
def test_a_far_width_does_not_overshoot_while_its_forecasts_are_on_their_way(width: float) -> None:
    """A rule that judges the intervals as they were emitted goes on for as long as the lead."""
    values, timestamps = noise(1200, 8)
    widths = np.stack(widths_by_step(naive(width, horizon=48), values, timestamps))[..., 1:]
    final, direction = widths[-200:].mean(0), np.sign(-np.log(width))
    assert (direction * final > 0.3).all()
    assert (direction * (widths - final)).mean(1).max() < 0.25


def test_a_stranger_is_covered_within_its_first_day() -> None:
    """Intervals of a fifth and of five times the right width,
    one step ahead over the readings 24 to 200."""
    values, timestamps = noise(201, 16)
    for width in (0.25, 6.0):
        out = naive(width).unroll(values, timestamps, origins=[200])
        found = coverage(out.one_step[24:-1], values[25:])
        assert found == pytest.approx(0.8, abs=0.08), width


def test_without_calibration_the_row_has_none_and_widths_stay() -> None:
    plain = Naive(dataclasses.replace(PLAIN, calibrated=False))
    plain.offsets_one.copy_(OFFSETS)
    values, timestamps = noise(500, 2)
    assert not {"stretch", "bounds"} & set(plain.initial_state(1))
    out = plain.unroll(values, timestamps)
    gap = (out.one_step[10:, :, -1] - out.one_step[10:, :, 0]) / out.scale[10:]
    assert np.allclose(gap, 2.1, atol=1e-5)


def test_scores_are_of_the_interval_that_was_emitted() -> None:
    values, timestamps = noise(800, 3)
    out = naive(0.5).unroll(values, timestamps)
    inside = (values[1:] >= out.one_step[:-1, :, 0]) & (values[1:] <= out.one_step[:-1, :, -1])
    assert np.mean(out.scores[2:, :, 3] == inside[1:]) == 1.0
    assert out.scores[2:, :, 0] == pytest.approx(
        np.abs(values[2:] - out.one_step[1:-1, :, 2]), abs=1e-4
    )
