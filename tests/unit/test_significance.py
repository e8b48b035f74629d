from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.comparison.significance import difference, differences


def test_the_relative_difference_is_that_of_the_sums() -> None:
    found = difference(np.array([1.0, 2.0, 3.0] * 10), np.array([2.0, 4.0, 6.0] * 10), 2)
    assert found == pytest.approx((-0.5, -0.5, -0.5))
    assert found.exceeds_noise


def test_with_too_few_blocks_there_is_no_interval() -> None:
    found = difference(np.ones(40), np.full(40, 2.0), 10)
    assert (found.relative, found.low, found.high, found.exceeds_noise) == (-0.5, None, None, False)


def test_a_rival_without_loss_is_left_out() -> None:
    losses = {"mse": np.ones(20), "mae": np.ones(20)}
    found = differences(losses, {"naive": {"mse": np.zeros(20), "mae": np.ones(20)}}, 1)
    assert list(found["naive"]) == ["mae"]


def test_intervals_hold_what_they_promise_for_errors_that_hang_together() -> None:
    """Two forecasters of the same quality: zero lies outside of a 95 % interval about one time in
    twenty, also where an origin's loss is nearly its neighbour's. Origins drawn one by one would
    find a difference most of the time."""
    rng = np.random.default_rng(0)

    def smooth() -> np.ndarray:
        return np.convolve(rng.exponential(size=639), np.ones(40) / 40, "valid")

    pairs = [(smooth(), smooth()) for _ in range(80)]
    found = np.mean([difference(a, b, 80, 200).exceeds_noise for a, b in pairs])
    singly = np.mean([difference(a, b, 1, 200).exceeds_noise for a, b in pairs])
    assert found < 0.2
    assert singly > 0.4
