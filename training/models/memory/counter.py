"""A counter inside the graph: readings of a meter come in,
and the forecaster sees what each interval added.

`training/data/counters.py` says what an increase is and has it for a whole history at once;
a test holds the two together.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from eddycast.training.models.tensor_state import TensorState

Kind = Literal["gauge", "counter"]


def initial_counter(batch: int) -> TensorState:
    """The row's "counter" [batch, 2] f64: the last reading, and how many slots ago it came;
    0 = there was none."""
    return {"counter": torch.zeros(batch, 2, dtype=torch.float64)}


def increase(
    reading: Tensor, state: TensorState, register: float | None = None
) -> tuple[Tensor, TensorState]:
    """The increase per interval since the last reading, [batch] f64; NaN without a reading now and
    one before. `reading` is [batch] f64 (NaN = missing). A reading below the last one is a reset:
    it is itself the increase, or a `register` of that size has started again
    (`training/data/counters.py`). A negative reading after one that was not is missing: meters
    send it when they lost their count."""
    last, age = state["counter"].unbind(1)
    seen = age > 0
    reading = torch.where((reading < 0) & (last >= 0) & seen, torch.nan, reading)
    observed, restarted = ~torch.isnan(reading), reading
    if register is not None:
        rolled = register - last + reading
        restarted = torch.where(rolled <= register / 2, rolled, reading)
    risen = torch.where(reading < last, restarted, reading - last) / age.clamp(min=1)
    added = torch.where(seen, risen, torch.nan)
    older = torch.where(seen, age + 1, 0.0)
    kept = [torch.where(observed, reading, last), torch.where(observed, 1.0, older)]
    return added, {"counter": torch.stack(kept, 1)}
