"""The means of checking an invariant: the error, comparisons that raise it,
and a forecaster run step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.service.errors import FamilyError
from eddycast.training.models import Forecaster
from eddycast.training.models.tensor_state import TensorState

Array = NDArray[np.floating]
STEPS, FEW = 240, 60  # lengths of the histories that are checked
TOLERANCE = 1e-4  # running scales
OUTPUTS = ("one_step", "surprise", "scores", "anomaly", "multi_step")
#: A check of one invariant; raises InvariantBroken.
Invariant = Callable[[Forecaster], None]


class InvariantBroken(FamilyError):
    """A forecaster breaks `invariant` at the output `where`; `by` is the deviation."""

    def __init__(self, invariant: str, where: str, by: str) -> None:
        super().__init__(
            f"the invariant {invariant!r} is broken: {where}: {by}",
            "see docs/forecasters.md, Invariants",
        )
        self.invariant, self.where, self.by = invariant, where, by


def stepped(
    model: Forecaster, values: NDArray[np.float64], timestamps: NDArray[np.int64]
) -> dict[str, Array]:
    """The outputs of one observation at a time over values [T, S]: one_step and multi_step [T, S,
    ...], surprise [T, S], scores, anomaly [T, S]."""
    return carried(model, model.initial_state(values.shape[1]), values, timestamps)[1]


def carried(
    model: Forecaster,
    state: TensorState,
    values: NDArray[np.float64],
    timestamps: NDArray[np.int64],
) -> tuple[TensorState, dict[str, Array]]:
    """The state after all values [T, S], starting from `state`, and the outputs on the way;
    see `stepped`."""
    count, rows = values.shape[1], []
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((count,), int(stamp))
            out = model.step(torch.as_tensor(value)[:, None], when, state)
            state = out.state
            multi = model.forecast(when, state)
            rows.append(
                (out.one_step[:, 0], out.surprise, out.scores[:, 0], out.anomaly, multi[:, :, 0])
            )
    columns = [
        np.stack([tensor.numpy() for tensor in column]) for column in zip(*rows, strict=True)
    ]
    return state, dict(zip(OUTPUTS, columns, strict=True))


def unit_of(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running scales [...] as units; 1 where there is no scale yet."""
    return np.where(scale > 0, scale, 1.0)


def close(
    invariant: str,
    where: str,
    found: Array,
    expected: Array,
    most: float,
    unit: Array | float = 1.0,
) -> None:
    """Raises InvariantBroken unless NaN stands in the same places and all else differs by at most
    `most` units."""
    if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
        raise InvariantBroken(invariant, where, "NaN in one and not in the other")
    with np.errstate(invalid="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected)) / unit
    if difference.size and np.nanmax(difference, initial=0.0) > most:
        place = np.unravel_index(int(np.nanargmax(difference)), difference.shape)
        at = ", ".join(map(str, place))
        raise InvariantBroken(
            invariant,
            f"{where} at [{at}]",
            f"differs by {np.nanmax(difference):.2g}, the limit is {most:.2g}",
        )


def finite(invariant: str, where: str, found: Array) -> None:
    """Raises InvariantBroken if a number of `found` is not finite."""
    if not np.isfinite(found).all():
        raise InvariantBroken(
            invariant,
            where,
            f"{np.count_nonzero(~np.isfinite(found)):,} of {found.size:,} are not finite",
        )
