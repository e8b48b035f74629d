"""A mixture: the quantiles of several forecasters, averaged level by level (Lichtendahl et al.,
2013: this keeps a forecast sharp, where averaging probabilities widens it). The average of sorted
quantiles is sorted.

The members share one memory and its features; each has a hidden state of its own under its family's
name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eddycast.training.models.contract import View
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.latent import Carried
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import Glance
from eddycast.training.models.tensor_state import TensorState, part_of, prefixed


class SideBySide(Carried):
    """The hidden states of several forecasters:
    tensors carry a prefix, and heads see the states end to end."""

    def __init__(self, latents: dict[str, Carried]) -> None:
        super().__init__(sum(latent.units for latent in latents.values()))
        self.latents = latents  # their weights belong to the members

    def weights(self) -> dict[str, Tensor]:
        return prefixed({name: latent.weights() for name, latent in self.latents.items()})

    def initial_state(self, batch: int) -> TensorState:
        return prefixed(
            {name: latent.initial_state(batch) for name, latent in self.latents.items()}
        )

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        return prefixed(
            {
                name: latent.advance(memory, glance, timestamp, part_of(name, state))
                for name, latent in self.latents.items()
            }
        )

    def jump(self, steps: Tensor, state: TensorState) -> TensorState:
        return prefixed(
            {
                name: latent.jump(steps, part_of(name, state))
                for name, latent in self.latents.items()
            }
        )

    def read(self, state: TensorState) -> Tensor:
        return torch.cat(
            [latent.read(part_of(name, state)) for name, latent in self.latents.items()], -1
        )

    def scan(self, columns: Columns) -> Tensor:
        return torch.cat([latent.scan(columns) for latent in self.latents.values()], -1)


class Mixture(Forecaster):
    """The average of `members`, which were fitted one by one on the same memory. A member without a
    hidden state reads the memory alone. Raises ValueError for members with different memories or
    targets."""

    family = "mix"
    revision = 1

    def __init__(self, members: Sequence[Forecaster]) -> None:
        first = members[0]
        if any(
            member.memory.spec != first.memory.spec or member.target != first.target
            for member in members
        ):
            raise ValueError("the members of a mixture share one memory and one target")
        parts = {member.family: member.latent for member in members if member.latent}
        shortest = min((member.anchors for member in members), key=max)
        super().__init__(
            first.target, first.memory.spec, SideBySide(parts) if parts else None, shortest
        )
        self.members = nn.ModuleList(members)

    @property
    def families(self) -> list[str]:
        return [self.family, *(family for member in members_of(self) for family in member.families)]

    def one_step_units(self, view: View) -> Tensor:
        return torch.stack([member.one_step_units(own) for member, own in self._views(view)]).mean(
            0
        )

    def multi_step_units(self, view: View) -> Tensor:
        return torch.stack(
            [member.multi_step_units(own) for member, own in self._views(view)]
        ).mean(0)

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        return torch.stack([member.units_at(own, leads) for member, own in self._views(view)]).mean(
            0
        )

    def _views(self, view: View) -> list[tuple[Forecaster, View]]:
        """Each member with its own part of the hidden state."""
        members = members_of(self)
        sizes = [member.latent.units if member.latent else 0 for member in members]
        hidden = torch.split(view.hidden, sizes, -1)
        return [
            (member, View(view.features, view.timestamp, own))
            for member, own in zip(members, hidden, strict=True)
        ]


def members_of(mixture: Mixture) -> list[Forecaster]:
    """The members of a mixture, in their order."""
    return [member for member in mixture.members if isinstance(member, Forecaster)]
