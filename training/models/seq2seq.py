"""Sequence to sequence (Cho et al., 2014; Sutskever et al., 2014): the carried hidden state is the
encoder's; a decoder starts from it and goes through the horizon lead by lead, reading the target of
the lead before.

In training that target is sometimes the true one (teacher forcing, Williams and Zipser, 1989), less
and less often (scheduled sampling, Bengio et al., 2015): gaps learned from true targets one lead
before are those of one step ahead, far too narrow for a long horizon. In a forecast it is always
the decoder's own median.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional

from eddycast.training.models.cells import gated
from eddycast.training.models.contract import Target, View
from eddycast.training.models.latent import INPUT_BOUND, Latent, circled, phase_of
from eddycast.training.models.linear import LinearAutoregression
from eddycast.training.models.memory.memory import MemorySpec
from eddycast.training.models.recurrent import UNITS, Recurrent, plain_memory

SEQ2SEQ = "seq2seq"
ANCHORS = (1, 6, 24)  # every step decodes as far as the last of them
Carry = tuple[Tensor, Tensor]


class SequenceToSequence(Recurrent):
    """A gated recurrent unit that is carried through time,
    and a second one that goes through the horizon."""

    family = SEQ2SEQ
    revision = 1
    reads_at_once = False

    def __init__(
        self, target: Target, linear: LinearAutoregression | None, units: int = UNITS
    ) -> None:
        memory = linear.memory.spec if linear else plain_memory(target)
        super().__init__(
            target, memory, Latent("gru", memory, units, others=target.others), linear, ANCHORS
        )
        self.decoder = nn.GRUCell(1 + known_size(memory), units)
        self.multi_head = self._head()
        self.widths = nn.Parameter(torch.zeros(len(target.quantiles) - 1, target.horizon))

    def multi_step_units(self, view: View) -> Tensor:
        return self._decode(view, self._centre(view).expand(-1, self.target.horizon))

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        stop = max(leads) + 1
        return self._decode(view, self._centre(view, range(stop)).expand(-1, stop))[
            :, torch.tensor(leads)
        ]

    def _decode(self, view: View, centre: Tensor) -> Tensor:
        """Quantiles of the first leads [n, leads, quantiles],
        as many as `centre` [n, leads] has."""
        shown = (
            torch.full_like(centre, torch.nan)
            if view.shown is None
            else view.shown[:, : centre.shape[1]]
        )
        weight = self.decoder.weight_ih
        given = functional.linear(self._known(view, centre), weight[:, 1:], self.decoder.bias_ih)
        shift = self.multi_head.weight[:1], self.multi_head.bias[:1]

        def advance(carry: Carry, lead: tuple[Tensor, Tensor, Tensor]) -> tuple[Carry, Tensor]:
            (previous, hidden), (gates, middle, truth) = carry, lead
            gates = gates + previous.clamp(-INPUT_BOUND, INPUT_BOUND) * weight[:, 0]
            hidden = gated(
                gates,
                functional.linear(hidden, self.decoder.weight_hh, self.decoder.bias_hh),
                hidden,
            )
            own = middle + functional.linear(hidden, *shift)
            return (torch.where(torch.isnan(truth), own, truth), hidden), hidden.clone()

        # the last value is 0 in units
        start = (torch.zeros_like(centre[:, :1]), self.dropout(view.hidden))
        leads = (given.transpose(0, 1), centre.t()[:, :, None], shown.t()[:, :, None])
        hidden = self.dropout(_through(advance, start, leads))
        raw = self.multi_head(hidden).permute(1, 2, 0)
        return self._quantiles(
            torch.cat([raw[:, :1], raw[:, 1:] + self.widths[:, : centre.shape[1]]], 1), centre
        )

    def _known(self, view: View, centre: Tensor) -> Tensor:
        """Inputs of the decoder that are known before a lead comes, [n, leads, known] float32."""
        ahead = torch.arange(1, centre.shape[1] + 1)
        stamps = view.timestamp[:, None] + ahead * self.target.forecast_interval_ms
        season, *second = [
            circled(phase_of(stamps, period)) for period in self.memory.spec.periods_ms
        ]
        far = (ahead / self.target.horizon).expand_as(centre), (1.0 / ahead).expand_as(centre)
        told = [
            *season,
            *far,
            centre.clamp(-INPUT_BOUND, INPUT_BOUND),
            *(side for sides in second for side in sides),
        ]
        return torch.stack(told, -1)


def known_size(spec: MemorySpec) -> int:
    """Number of known inputs of a lead: its phase in every season (2 each), its distance (2),
    the linear path's point (1)."""
    return 3 + 2 * len(spec.periods_ms)


def _through(
    advance: Callable[[Carry, tuple[Tensor, Tensor, Tensor]], tuple[Carry, Tensor]],
    carry: Carry,
    leads: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Hidden states [leads, n, units] of `advance` applied lead by lead; `leads` are [leads, n,
    ...] each. Exported as one Scan node, whose graph is 100 times smaller than an unrolled one, is
    written 8 times faster, and runs as fast."""
    if torch.compiler.is_exporting():
        hidden: Tensor = scan(advance, carry, leads, dim=0)[1]
        return hidden
    out = []
    for lead in zip(*leads, strict=True):
        carry, hidden = advance(carry, lead)
        out.append(hidden)
    return torch.stack(out)
