"""A history of one stream, or of streams that are alike, is named as narrow."""

from __future__ import annotations

import numpy as np
import pytest

from eddycast.training.data.likeness import narrow_note, roughness

STEPS = np.arange(1000)
DAY = np.sin(2 * np.pi * STEPS / 24)


def noisy(noise: float, seed: int) -> np.ndarray:
    return DAY + np.random.default_rng(seed).normal(0, noise, len(STEPS))


def test_one_stream_is_narrow_and_so_are_streams_alike_in_any_unit() -> None:
    assert narrow_note(noisy(0.1, 1)[None], 24).startswith("narrow: one stream")
    alike = np.stack([noisy(0.5, 1), 1000 * noisy(0.5, 2) - 7])
    assert narrow_note(alike, 24).startswith("narrow: the 2 streams")


def test_unlike_streams_are_not() -> None:
    assert narrow_note(np.stack([noisy(0.02, 1), noisy(2.0, 2)]), 24) == ""


def test_a_stream_of_which_little_is_known_may_be_anything() -> None:
    short = np.full(len(STEPS), np.nan)
    short[:30] = DAY[:30]
    assert np.isnan(roughness(short, 24))
    assert narrow_note(np.stack([noisy(0.5, 1), short]), 24) == ""
    assert narrow_note(np.stack([noisy(0.5, 1), np.ones(len(STEPS))]), 24) == ""


def test_roughness_is_one_for_noise_around_a_season() -> None:
    assert roughness(np.random.default_rng(3).normal(size=4000), 24) == pytest.approx(1.0, abs=0.05)
    assert roughness(noisy(0.001, 4), 24) > roughness(10 * noisy(0.1, 4), 24)
