"""An anomaly means the same on every stream: one in a hundred is one in a hundred,
whatever the surprises are like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from eddycast.training.models.anomaly import EXCESS, WINDOW, Anomaly, Prior, Tail
from eddycast.training.models.joint import largest
from eddycast.training.models.quantiles.density import expected_surprise

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
PENDING = torch.tensor([-1.1, -0.3, 0.0, 0.4, 1.0])
EXPECTED = float(expected_surprise(PENDING[None], LEVELS))
STEPS = 3000


def ranked(
    surprise: np.ndarray, came: np.ndarray | None = None, taken: np.ndarray | None = None
) -> np.ndarray:
    """Anomalies [T, S] of excesses over the expected surprise [T, S];
    readings lie between -1 and 1 unless given."""
    steps, streams = surprise.shape
    within = np.sin(np.arange(steps * streams)).reshape(surprise.shape)
    came = within if came is None else came
    with torch.no_grad():
        return np.asarray(
            Anomaly(LEVELS)
            .unroll(
                torch.as_tensor(EXPECTED + surprise).float(),
                PENDING.expand(steps, streams, -1),
                torch.as_tensor(came),
                torch.as_tensor(came if taken is None else taken),
            )
            .numpy()
        )


def surprises(random: np.random.Generator) -> np.ndarray:
    """Excesses [STEPS, 8] of unlike streams: calibrated forecasts, sharper and wider ones,
    heavy tails, repeats."""
    exponential = random.exponential(1.5, (STEPS, 4)) * (1.0, 1.0, 0.3, 4.0)
    heavy = np.abs(random.standard_t(2, (STEPS, 2))) * (1.0, 5.0)
    repeats = np.where(
        random.random((STEPS, 2)) < 0.9, -5.0, random.exponential((10.0, 60.0), (STEPS, 2))
    )
    return np.concatenate([exponential, heavy, repeats], 1) - 1.0


def test_one_in_a_hundred_is_one_in_a_hundred_on_every_stream() -> None:
    anomalies = ranked(surprises(np.random.default_rng(1)))[STEPS // 5 :]
    assert ((anomalies >= 0) & (anomalies <= 1)).all()
    rates = (anomalies >= 0.99).mean(0)
    assert (rates > 0.002).all() and (rates < 0.02).all(), rates
    assert 0.004 < rates.mean() < 0.014
    assert 0.0004 < (anomalies >= 0.999).mean() < 0.0025


def test_a_new_stream_cries_no_wolf() -> None:
    random = np.random.default_rng(2)
    young = np.stack([surprises(random)[:50] for _ in range(20)])
    rates = [(ranked(one) >= 0.999).mean() for one in young]
    assert np.mean(rates) < 0.02


def test_a_spike_is_an_anomaly_and_the_reading_after_it_is_none() -> None:
    excess = np.random.default_rng(3).exponential(1.5, (1000, 4)) - 1.0
    excess[900], excess[901:910] = 40.0, 0.0
    anomalies = ranked(excess)
    assert (anomalies[900] > 0.999).all()
    assert (anomalies[901:910] < 0.99).all()


def test_a_spell_of_surprises_none_of_which_is_rare_is_an_anomaly() -> None:
    excess = np.random.default_rng(4).exponential(1.5, (1000, 4)) - 1.0
    excess[900:924] = 2.5  # each is one in ten
    anomalies = ranked(excess)
    assert (anomalies[900] < 0.95).all()
    assert (anomalies[923] > 0.99).all()


def test_a_reading_far_beyond_the_range_is_an_anomaly_however_little_it_surprises() -> None:
    came = np.sin(np.arange(1200))[:, None] + np.zeros((1, 3))
    # of a range of 2: within the margin, beyond it, far beyond
    came[1100] = came[1150] = (1.04, 1.15, 30.0)
    taken = came.copy()
    taken[1100] = np.nan  # the memory did not take it: the next one is as far beyond the range
    anomalies = ranked(np.zeros((1200, 3)), came, taken)
    for near, beyond, far in anomalies[[1100, 1150]]:
        assert near < 0.9 < 0.999 < beyond < far


def test_a_stream_that_grows_sets_records_all_the_time() -> None:
    came = np.arange(500)[:, None] + np.random.default_rng(5).normal(0, 1, (500, 2))
    assert (ranked(np.zeros((500, 2)), came)[200:] < 0.99).all()


def test_without_a_surprise_there_is_no_anomaly_and_nothing_changes() -> None:
    model = Anomaly(LEVELS)
    state = {name: tensor + 3.0 for name, tensor in model.initial_state(2).items()}
    surprise, came = torch.tensor([torch.nan, 0.5]), torch.tensor([7.0, 7.0], dtype=torch.float64)
    anomaly, after = model.rank(surprise, PENDING.expand(2, -1), came, came, state)
    assert torch.isnan(anomaly).tolist() == [True, False]
    for name, tensor in after.items():
        assert torch.equal(tensor[0], state[name][0]) and not torch.equal(tensor[1], state[name][1])


def test_it_takes_little_of_a_row() -> None:
    state = Anomaly(LEVELS).initial_state(1)
    assert sum(tensor.numel() * tensor.element_size() for tensor in state.values()) == 108


@pytest.mark.parametrize("prior", [EXCESS, WINDOW])
def test_a_share_falls_without_a_step(prior: Prior) -> None:
    tail = Tail(prior)
    counts = torch.cat(
        [torch.tensor([5000.0]), 5000.0 * torch.linspace(0.5, 0.0, len(prior.levels))]
    )[None]
    numbers = torch.linspace(-1, prior.levels[-1] * 1.5, 4001)
    logs = tail.log_share(numbers[:, None], counts.expand(len(numbers), -1))[:, 0]
    assert (logs.diff() <= 0).all() and logs[0] == 0
    assert logs.diff().abs().max() < 1.0


def test_several_targets_have_the_largest_as_one_of_so_many() -> None:
    nan = torch.nan
    anomalies: list[Tensor] = [
        torch.tensor([0.9995, nan, nan, 0.3]),
        torch.tensor([0.2, 0.999, nan, 0.2]),
    ]
    found = largest(anomalies)
    assert torch.isnan(found[2])
    assert found[[0, 1, 3]].tolist() == pytest.approx([0.999, 0.999, 0.0], abs=1e-6)
