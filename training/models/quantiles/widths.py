"""The rule that finds the width of an interval: a log-width for each lead, moved by every reading.

What moves a log-width is a score: the logarithm of a reading's distance from the forecast over the
half-width of an interval that is not stretched. The log-width follows the .8 quantile of scores:
up by .8 of a step where the score is above it, down by .2 of one where it is below (adaptive
conformal inference, Gibbs and Candes, 2021), and never beyond the score, so that two processors
which round differently do not drift apart.

One step ahead no step is the right one for a stranger's first day and for its third year: three are
kept, and weighted by their pinball losses of late (Zaffran et al., 2022). Far leads hear of a
forecast late, and steps as large would wind up; theirs shrink with the readings seen. Until a lead
has readings of its own, it takes a share of the log-width one step ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eddycast.training.models.tensor_state import TensorState

MISSES = 0.2  # of the interval from .1 to .9
LIMIT = math.log(64.0)  # of a log-width
RATES = (0.005, 0.03, 0.15)  # steps of a log-width one step ahead
DECAY = 0.99  # of their losses, by reading
ETA = 2.0  # weight of a loss
#: The step of a far lead after n readings: FIRST / (1 + n / READINGS), and LEAST at least.
FIRST, READINGS, LEAST = 1 / 12, 96.0, 0.005
#: A lead takes lead ** SHARE of the log-width one step ahead for READINGS of its own.
SHARE = -0.2
#: In running scales: added to distances and half-widths, so that rounding moves a score by little.
SOFT = 1e-3


class Learned(NamedTuple):
    """The state of the rule, [n, ...] float32 each: zeros at the start."""

    widths: Tensor  # [n, rates + leads]: log-widths, those of the rates first
    losses: Tensor  # [n, rates]
    judged: Tensor  # [n, 1]: readings so far
    stretch: Tensor  # [n, 1 + leads]: the log-widths that are applied, one step ahead first


class Widths(nn.Module):
    """The rule for one step ahead and for `leads`, in slots; forecasts are `every` slots apart, and
    those before `ready` readings are not judged. It has no weights. Columns of [n, rates + leads]
    stand for the rates one step ahead, then for the leads."""

    quick: Tensor
    shift: Tensor
    since: Tensor
    least: Tensor
    share: Tensor

    def __init__(self, leads: Sequence[int], every: int, ready: int) -> None:
        super().__init__()
        self.ready, self.full = float(ready), READINGS * every
        near, far = len(RATES), len(leads)
        since = [lead + ready - self.full for lead in leads]
        shares = [float(lead / every) ** SHARE for lead in leads]
        columns = {
            "quick": [1.0] * near + [0.0] * far,
            # a step that ends at the score has its middle there
            "shift": [(0.5 - MISSES) * rate for rate in RATES] + [0.0] * far,
            "since": [-torch.inf] * near + since,
            "least": [*RATES, *[LEAST] * far],
            "share": [0.0] * near + shares,
        }
        for name, column in columns.items():
            self.register_buffer(name, torch.tensor(column), persistent=False)

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing judged, nothing stretched."""
        near, all_ = len(RATES), len(self.least)
        empty = Learned(*(torch.zeros(batch, size) for size in (all_, near, 1, 1 + all_ - near)))
        return empty._asdict()

    def move(
        self,
        distance: Tensor,
        half: Tensor,
        counts: Tensor,
        judged: Tensor,
        before: Learned,
        misses: Tensor | float = MISSES,
    ) -> Learned:
        """The state after readings at `distance` from forecasts whose half-widths are `half`,
        stretched one step ahead and not beyond, [n, columns] each, in running scales; where they
        count. `judged` [n, 1] readings were seen, these included; `misses` [n, columns] are
        expected."""
        near, size = len(RATES), before.widths.shape[1]
        quick, shift, since, least, share = (
            column[:size] for column in (self.quick, self.shift, self.since, self.least, self.share)
        )
        given = before.stretch[:, :1] * quick + shift
        score = torch.log((distance + SOFT) / (half + SOFT)) + given
        score = score.clamp(-LIMIT, LIMIT)
        # 1 until a lead has readings of its own, then less and less
        young = self.full / (judged - since).clamp(min=self.full)
        rate = torch.maximum(FIRST * young, least)
        down = before.widths - misses * rate
        moved = torch.minimum(torch.maximum(score, down), down + rate)
        widths = torch.where(counts, moved, before.widths)
        above = (score - before.widths)[:, :near]
        expected = misses if isinstance(misses, float) else misses[:, :near]
        loss = torch.maximum((ETA * (1 - expected)) * above, (-ETA * expected) * above)
        losses = torch.where(counts[:, :near], before.losses * DECAY + loss, before.losses)
        mixed = (torch.softmax(-losses, 1) * widths[:, :near]).sum(1, keepdim=True)
        own = widths + young * (share * mixed - widths)
        return Learned(widths, losses, judged, torch.cat([mixed, own[:, near:]], 1))
