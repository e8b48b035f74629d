"""The invariants of one output: shapes, size, order, and the start from zeros."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.training.export.invariants.checking import OUTPUTS, STEPS, InvariantBroken, unit_of
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.contract import View
from eddycast.training.recipe import Recipe


def shapes(model: Forecaster) -> None:
    """Quantiles are [n, levels] one step ahead and [n, horizon, levels] over the horizon, float32;
    .1, .5 and .9 are among the levels; the initial state is [batch, ...] of zeros. Broken by a
    missing level, and by float64."""
    invariant, levels = "shapes", model.target.quantiles
    if not {0.1, 0.5, 0.9} <= set(levels):
        raise InvariantBroken(
            invariant, "the levels of the target", f"{levels} lack one of .1, .5, .9"
        )
    units = model.latent.units if model.latent else 0
    features = model.memory.spec.features
    stamps = torch.full(
        (3,), 1_700_000_000_000 // model.target.interval_ms * model.target.interval_ms
    )
    view = View(torch.zeros(3, features), stamps, torch.zeros(3, units))
    with torch.no_grad():
        made = {
            "one_step_units": model.one_step_units(view),
            "multi_step_units": model.multi_step_units(view),
        }
    wanted = {
        "one_step_units": (3, len(levels)),
        "multi_step_units": (3, model.target.horizon, len(levels)),
    }
    for name, tensor in made.items():
        if tuple(tensor.shape) != wanted[name] or tensor.dtype != torch.float32:
            found = f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            raise InvariantBroken(
                invariant, f"{name} of 3 rows", f"{found}, expected {list(wanted[name])} float32"
            )
    for name, tensor in model.initial_state(3).items():
        if tensor.shape[0] != 3 or tensor.count_nonzero():
            raise InvariantBroken(
                invariant, f"the state {name!r} of 3 streams never seen", "not 3 rows of zeros"
            )


def bounded_row(model: Forecaster, limit: int = Recipe.row_limit) -> None:
    """The state of a stream has at most `limit` bytes.
    Broken by many lags, a long season or a large hidden state."""
    size = sum(
        tensor[0].numel() * tensor.element_size() for tensor in model.initial_state(1).values()
    )
    if size > limit:
        raise InvariantBroken(
            "bounded row",
            "the state of a stream",
            f"{size:,} bytes, at most {limit:,} (--row-limit)",
        )


def zero_start(model: Forecaster) -> None:
    """Before the first value every output is NaN and the state stays zero.
    Broken by a hidden state that moves from the start."""
    invariant = "all-zero start"
    _, timestamps = sample(model.target, 30, 2)
    state = model.initial_state(2)
    with torch.no_grad():
        for stamp in timestamps:
            when = torch.full((2,), int(stamp))
            out = model.step(torch.full((2, 1), torch.nan, dtype=torch.float64), when, state)
            state = out.state
            made = (
                out.one_step,
                out.surprise,
                out.scores,
                out.anomaly,
                model.forecast(when, state),
            )
            for name, tensor in zip(OUTPUTS, made, strict=True):
                if not torch.isnan(tensor).all():
                    raise InvariantBroken(
                        invariant, f"{name} before the first value", "a number instead of NaN"
                    )
    for name, tensor in state.items():
        if tensor.count_nonzero():
            raise InvariantBroken(
                invariant,
                f"the state {name!r} after 30 missing values",
                f"up to {float(tensor.abs().max()):.2g}",
            )


def sorted_quantiles(model: Forecaster) -> None:
    """Quantiles rise with their level. Broken by an independent map for each quantile."""
    values, timestamps = sample(model.target, STEPS, 4)
    out = model.unroll(values, timestamps)
    unit = unit_of(out.scale)
    for name, quantiles in (
        ("one_step", out.one_step / unit[:, :, None]),
        ("multi_step", out.multi_step / unit[:, :, None, None]),
    ):
        if (fall := float(-np.nanmin(np.diff(quantiles, axis=-1), initial=0.0))) > 1e-6 + _rounding(
            out.scale
        ):
            raise InvariantBroken(
                "sorted quantiles",
                name,
                f"falls by {fall:.2g} running scales from a level to the next",
            )


def _rounding(scale: NDArray[np.float64]) -> float:
    """Running scales that float64 cannot resolve near the values of the samples."""
    return float(1e-14 * 1e2 / unit_of(scale).min())
