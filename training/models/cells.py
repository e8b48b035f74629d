"""Recurrent cells with two forms of the same weights: a whole sequence by torch's fused kernels,
for training, and one step as plain matrix products, for export (faster in onnxruntime than its
recurrent operators)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from eddycast.training.models.tensor_state import TensorState


class Cell(nn.Module):
    """A recurrent cell of `units` units, whose inputs have the same length;
    `tensors` names the tensors of its state."""

    tensors: tuple[str, ...] = ("hidden",)

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def advance(self, inputs: Tensor, state: TensorState) -> TensorState:
        """The state after one step, from inputs [batch, units] and the state before,
        [batch, units] a tensor."""
        raise NotImplementedError(f"{type(self).__name__} must implement advance")

    def scan(self, inputs: Tensor) -> Tensor:
        """Hidden states [batch, T, units] of inputs [batch, T, units], from a zero state."""
        state = {name: inputs.new_zeros(inputs.shape[0], self.units) for name in self.tensors}
        hidden = []
        for step in inputs.unbind(1):
            state = self.advance(step, state)
            hidden.append(state["hidden"])
        return torch.stack(hidden, 1)


class FusedCell(Cell):
    """A cell that torch runs through a whole sequence at once."""

    def __init__(self, units: int, sequence: nn.RNNBase) -> None:
        super().__init__(units)
        self.sequence = sequence

    def scan(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, self.sequence(inputs)[0])

    def gates(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The two affine maps of every cell: of the inputs and of the hidden state,
        [batch, gates * units] each."""
        w = cast("dict[str, Tensor]", dict(self.sequence.named_parameters()))
        from_input = functional.linear(inputs, w["weight_ih_l0"], w["bias_ih_l0"])
        return from_input, functional.linear(hidden, w["weight_hh_l0"], w["bias_hh_l0"])


class RnnCell(FusedCell):
    """h' = tanh(W x + U h + b) (Elman, 1990)."""

    def __init__(self, units: int) -> None:
        super().__init__(units, nn.RNN(units, units, batch_first=True))

    def advance(self, inputs: Tensor, state: TensorState) -> TensorState:
        a, b = self.gates(inputs, state["hidden"])
        return {"hidden": torch.tanh(a + b)}


class GruCell(FusedCell):
    """Gated recurrent unit (Cho et al., 2014)."""

    def __init__(self, units: int) -> None:
        super().__init__(units, nn.GRU(units, units, batch_first=True))

    def advance(self, inputs: Tensor, state: TensorState) -> TensorState:
        hidden = state["hidden"]
        return {"hidden": gated(*self.gates(inputs, hidden), hidden)}


def gated(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """The next hidden state [batch, units] of a gated recurrent unit,
    from its two affine maps [batch, 3 units]."""
    (reset_a, update_a, new_a), (reset_b, update_b, new_b) = (
        from_input.chunk(3, 1),
        from_hidden.chunk(3, 1),
    )
    reset, update = torch.sigmoid(reset_a + reset_b), torch.sigmoid(update_a + update_b)
    new = torch.tanh(new_a + reset * new_b)
    return (1 - update) * new + update * hidden


class LstmCell(FusedCell):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997)."""

    tensors = ("hidden", "cell")

    def __init__(self, units: int) -> None:
        super().__init__(units, nn.LSTM(units, units, batch_first=True))

    def advance(self, inputs: Tensor, state: TensorState) -> TensorState:
        a, b = self.gates(inputs, state["hidden"])
        enter, forget, new, leave = (a + b).chunk(4, 1)
        cell = torch.sigmoid(forget) * state["cell"] + torch.sigmoid(enter) * torch.tanh(new)
        return {"hidden": torch.sigmoid(leave) * torch.tanh(cell), "cell": cell}


CELLS: dict[str, type[RnnCell] | type[GruCell] | type[LstmCell]] = {
    "rnn": RnnCell,
    "gru": GruCell,
    "lstm": LstmCell,
}
