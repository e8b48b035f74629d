"""A counter inside the graph: readings of a meter come in, and the forecaster sees what each interval added.

`training/counting.py` says what an increase is and has it for a whole history at once; a test holds the two together.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from training.models.memory import State

Kind = Literal["gauge", "counter"]


def initial_counter(batch: int) -> State:
    """The row's "counter" [batch, 2] f64: the last reading, and how many slots ago it came; 0 = there was none."""
    return {"counter": torch.zeros(batch, 2, dtype=torch.float64)}


def increase(reading: Tensor, state: State, register: float | None = None) -> tuple[Tensor, State]:
    """What each interval since the last reading added, [batch] f64, with `reading` [batch] f64 (NaN = missing); NaN
    without a reading now and one before. A reading below the last one is a reset: it is itself the increase,
    or a `register` of that size has started again (`training/counting.py`)."""
    last, age = state["counter"].unbind(1)
    observed, seen = ~torch.isnan(reading), age > 0
    restarted = reading
    if register is not None:
        rolled = register - last + reading
        restarted = torch.where(rolled <= register / 2, rolled, reading)
    risen = torch.where(reading < last, restarted, reading - last) / age.clamp(min=1)
    added = torch.where(seen, risen, torch.full_like(risen, torch.nan))
    older = torch.where(seen, age + 1, torch.zeros_like(age))
    kept = [torch.where(observed, reading, last), torch.where(observed, torch.ones_like(age), older)]
    return added, {"counter": torch.stack(kept, 1)}
