"""A stream is warm after two seasons and enough scored forecasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eddycast.training.export.onnx_export import warmup_steps
from eddycast.training.models import Target
from tests.models.zoo import DAILY, HALF_DAYS, PLAIN, TWO_DAYS, joint, linear


@pytest.mark.parametrize(
    ("target", "readings"),
    [
        (DAILY, 49),  # 48 scores one step ahead; lead 12 has 24 after 36
        (PLAIN, 49),
        (TWO_DAYS, 72),  # lead 48 lies within two days, and has 24 scores a day later
        (replace(DAILY, season_steps=6), 49),  # lead 6 and lead 12 lie within two seasons
        (replace(DAILY, season_steps=288), 576),
        (replace(TWO_DAYS, horizon=96), 72),  # a lead of four days is beyond
        (HALF_DAYS, 49),  # lead 1 takes 12 hours, lead 6 three days
        (replace(TWO_DAYS, calibrated=False), 49),
    ],
)
def test_readings_until_a_stream_is_warm(target: Target, readings: int) -> None:
    assert warmup_steps(linear(target)) == readings


def test_nights_without_readings_are_no_part_of_two_seasons() -> None:
    model = linear(replace(DAILY, interval_ms=60_000, season_steps=1440))
    assert [warmup_steps(model, night) for night in (0.0, 0.25, 0.999)] == [2880, 2160, 49]


def test_several_targets_are_warm_together() -> None:
    assert warmup_steps(joint("ar", 2, (0, 1))) == 49
