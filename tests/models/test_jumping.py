"""A jump is the steps without a value that it stands for, for every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.service.bundle import SETTLING
from eddycast.service.model.loading import load_runtime
from eddycast.service.processing.engine import Engine
from eddycast.service.records import Observations
from eddycast.service.state.arena import Arena
from eddycast.training.models.joint import Model
from eddycast.training.models.tensor_state import TensorState
from tests.models.zoo import HEAVY_KINDS, HOUR, forecaster, joint, streams
from tests.support.exported import Exported

pytestmark = pytest.mark.slow

ROWS = 6
#: Steps of the gap of each row; the first two are within the ring and within a block.
GAPS = torch.tensor([1, 5, 47, 49, 250, 301])
#: Tensors that a jump leaves for later steps: what is learned, what is pending.
SETTLED_LATER = ("hidden", "cell", "pending", "bounds")


def trained(kind: str, steps: int = 260) -> tuple[TensorState, int]:
    """The rows after a history with holes, and the stamp of its last slot."""
    model = forecaster(kind)
    values, timestamps = streams(kind, steps, ROWS, seed=4)
    state = model.initial_state(ROWS)
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((ROWS,), int(stamp))
            state = model.step(torch.as_tensor(value)[:, None], when, state).state
    return state, int(timestamps[-1])


def stepped(
    model: Model, state: TensorState, first: Tensor, steps: Tensor, channels: int = 1
) -> TensorState:
    """Rows after `steps` [batch] slots without a value, from the slot at `first` [batch] on."""
    nothing = torch.full((len(steps), channels), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        for i in range(int(steps.max())):
            after = model.step(nothing, first + i * model.target.interval_ms, state).state
            state = {
                name: torch.where(
                    (i < steps).reshape(-1, *[1] * (tensor.dim() - 1)), after[name], tensor
                )
                for name, tensor in state.items()
            }
    return state


def jumped(model: Model, state: TensorState, first: Tensor, steps: Tensor) -> TensorState:
    """Rows after the same slots at once."""
    last = first + (steps - 1) * model.target.interval_ms
    with torch.no_grad():
        return state | model.jump(steps, last, state)


def equal(found: Tensor, expected: Tensor, name: str) -> None:
    unit = expected.abs().amax().clamp(min=1e-12)
    digits = 1e-5 if expected.dtype == torch.float32 else 1e-12
    assert ((found - expected).abs() <= digits * unit).all(), name


@pytest.mark.parametrize("kind", HEAVY_KINDS)
def test_a_jump_is_its_steps(kind: str) -> None:
    model = forecaster(kind)
    state, stamp = trained(kind)
    first = torch.full((ROWS,), stamp + model.target.interval_ms)
    step_by_step = stepped(model, state, first, GAPS)
    at_once = jumped(model, state, first, GAPS)
    assert at_once.keys() == step_by_step.keys()
    changed = {name for name in state if not torch.equal(state[name], at_once[name])}
    assert "moved" in changed and ("ring" in changed or model.memory.spec.lags == 1)
    for name, tensor in step_by_step.items():
        if not name.endswith(SETTLED_LATER):
            equal(at_once[name], tensor, name)


@pytest.mark.parametrize("kind", HEAVY_KINDS)
def test_after_the_last_steps_a_jump_forecasts_like_its_steps(kind: str) -> None:
    """A hidden state settles, and new intervals are pending."""
    model = forecaster(kind)
    state, stamp = trained(kind)
    gap = SETTLING + GAPS
    first = torch.full((ROWS,), stamp + model.target.interval_ms)
    step_by_step = stepped(model, state, first, gap)
    resumed = first + GAPS * model.target.interval_ms
    rest = torch.full((ROWS,), SETTLING)
    at_once = stepped(model, jumped(model, state, first, GAPS), resumed, rest)
    when = first + (gap - 1) * model.target.interval_ms
    wanted, found = (model.forecast(when, rows) for rows in (step_by_step, at_once))
    width = wanted[..., -1:] - wanted[..., :1]
    slack = 1.0 if model.target.support == "integer" else 0.0
    assert ((found - wanted).abs() <= 0.02 * width + slack).all()
    apart = (at_once["pending"] - step_by_step["pending"]).abs()
    assert (
        apart <= 0.02 * (step_by_step["pending"][:, -1:] - step_by_step["pending"][:, :1])
    ).all()


def test_a_jump_of_a_stream_that_never_started_is_nothing() -> None:
    for kind in ("lstm-weekly-binned", "ar-counter", "mix", "lstm-blocks"):
        model = forecaster(kind)
        state = model.initial_state(ROWS)
        for name, tensor in jumped(model, state, torch.full((ROWS,), 7), GAPS).items():
            assert not tensor.count_nonzero(), name


def test_intervals_that_are_not_due_stay_pending() -> None:
    """In blocks of twelve slots, every block that ends drops the oldest of six."""
    model = forecaster("ar-blocks")
    state, stamp = trained("ar-blocks", 600)
    first = torch.full((ROWS,), stamp + model.target.interval_ms)
    slot = stamp // model.target.interval_ms + 1
    for steps in (1, 2, 3, 12, 30, 71, 72, 80):
        rows = jumped(model, state, first, torch.full((ROWS,), steps))
        ended = (slot + steps) // 12 - slot // 12
        assert (rows["bounds"][:, 1, -6:] > 0).sum(1).tolist() == [max(0, 6 - ended)] * ROWS


def test_all_channels_jump() -> None:
    model = joint("ar", 2, (0, 1))
    values, timestamps = streams("ar", 200, 2 * ROWS, seed=2)
    state = model.initial_state(ROWS)
    given = torch.as_tensor(values.reshape(len(values), ROWS, 2))
    with torch.no_grad():
        for value, stamp in zip(given, timestamps, strict=True):
            state = model.step(value, torch.full((ROWS,), int(stamp)), state).state
    first = torch.full((ROWS,), int(timestamps[-1]) + model.target.interval_ms)
    step_by_step = stepped(model, state, first, GAPS, channels=2)
    at_once = jumped(model, state, first, GAPS)
    for name, tensor in step_by_step.items():
        if not name.endswith(SETTLED_LATER):
            equal(at_once[name], tensor, name)


def test_the_way_home_closes_and_the_reach_decays_in_a_gap() -> None:
    model = forecaster("ar")
    state, stamp = trained("ar")
    moved = torch.tensor([0.5, 3.0, 1.0, 0.0, 60.0, 4.0], dtype=torch.float64)
    state = state | {"moved": moved.expand(ROWS, -1)}
    first = torch.full((ROWS,), stamp + model.target.interval_ms)
    found = jumped(model, state, first, GAPS)["moved"]
    equal(found, stepped(model, state, first, GAPS)["moved"], "moved")
    assert found[0, 4] == 59 and found[-1, 4] == 0 and 0 < found[-1, 5] < 4


def test_bits_after_a_jump_do_not_depend_on_the_company(exported: Exported) -> None:
    """Streams that come back after gaps of all lengths, together and one by one."""
    runtime = load_runtime(exported("dilated_gru"), max_batch=32)
    values, timestamps = streams("dilated_gru", 60, 40, seed=8)
    gaps = np.random.default_rng(1).choice([1, 2, 97, 98, 300, 5_000], 40)
    names = [b"%d" % stream for stream in range(40)]

    def run(chosen: list[int]) -> NDArray[np.float64]:
        engine = Engine(runtime, Arena(runtime.manifest.state), max_gap=10_000)

        def read(stamps: NDArray[np.int64], given: NDArray[np.float64]) -> NDArray[np.float64]:
            keys, offsets = [names[stream] for stream in chosen], np.arange(len(chosen))
            batch = Observations(0, keys, stamps, given[:, None], stamps, offsets)
            return np.asarray(engine.run([batch]).multi_step)

        for value, stamp in zip(values, timestamps, strict=True):
            read(np.full(len(chosen), stamp), value[chosen])
        return read(timestamps[-1] + gaps[chosen] * HOUR, values[30, chosen])

    together = run(list(range(40)))
    for stream in (0, 7, 18, 39):
        assert run([stream]).tobytes() == together[[stream]].tobytes()
