"""The invariants of a forecaster (`docs/design.md`): checks that raise InvariantBroken.
Their docstrings name typical causes.

The tests hold every built-in family to them, and `eddycast train` a custom family, before its
bundle replaces another. `training/export/parity.py` checks the exported graphs.
"""

from eddycast.training.export.invariants.checking import Invariant, InvariantBroken
from eddycast.training.export.invariants.faults import (
    a_new_level_is_accepted,
    impossible_readings_cost_a_step,
    numbers_in_numbers_out,
    one_a_day_costs_a_step_a_day,
)
from eddycast.training.export.invariants.gaps import a_jump_is_its_steps
from eddycast.training.export.invariants.limits import (
    anomaly_is_a_rank,
    calibration_moves,
    constant_series,
    extremes_stay_finite,
    parts_may_be_zero,
    surprise_needs_a_scale,
)
from eddycast.training.export.invariants.outputs import (
    bounded_row,
    shapes,
    sorted_quantiles,
    zero_start,
)
from eddycast.training.export.invariants.sequences import (
    causality,
    independence,
    missing_from_memory,
    shift_and_scale,
    silence_leaves_no_trace,
    unroll_is_step,
)

#: In the order in which a custom family is checked:
#: the plain ones first, since the later ones assume them.
INVARIANTS: tuple[Invariant, ...] = (
    shapes,
    bounded_row,
    zero_start,
    sorted_quantiles,
    unroll_is_step,
    causality,
    independence,
    shift_and_scale,
    silence_leaves_no_trace,
    missing_from_memory,
    a_jump_is_its_steps,
    constant_series,
    surprise_needs_a_scale,
    anomaly_is_a_rank,
    extremes_stay_finite,
    calibration_moves,
    parts_may_be_zero,
    impossible_readings_cost_a_step,
    one_a_day_costs_a_step_a_day,
    a_new_level_is_accepted,
    numbers_in_numbers_out,
)

__all__ = [
    "INVARIANTS",
    "Invariant",
    "InvariantBroken",
    "a_jump_is_its_steps",
    "a_new_level_is_accepted",
    "anomaly_is_a_rank",
    "bounded_row",
    "calibration_moves",
    "causality",
    "constant_series",
    "extremes_stay_finite",
    "impossible_readings_cost_a_step",
    "independence",
    "missing_from_memory",
    "numbers_in_numbers_out",
    "one_a_day_costs_a_step_a_day",
    "parts_may_be_zero",
    "shapes",
    "shift_and_scale",
    "silence_leaves_no_trace",
    "sorted_quantiles",
    "surprise_needs_a_scale",
    "unroll_is_step",
    "zero_start",
]
