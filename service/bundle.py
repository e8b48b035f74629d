"""The contract between training and serving, version 2, which both sides import.

A *bundle* is a directory of five files, of which bundles of earlier trainers lack `jump.onnx`:

`manifest.json`   a `Manifest`, below. Version 2 may list the parts of a row
                  (`service/sealing/parts.py`); bundles of version 1 are served as well, with the
                  whole row as one part.
`step.onnx`       consumes one observation per row.
`forecast.onnx`   forecasts `horizon` intervals ahead from a row of state; returns no state.
`jump.onnx`       moves a row over many slots without a value at once.
`golden.npz`      a short input sequence with missing values, and the trainer's outputs for it.

step.onnx
    in   value        f64 [batch, channels]            NaN = missing; for a counter (`kind`) the raw
                                                       reading, all outputs being of its increase
                                                       per interval
    in   timestamp    i64 [batch]                      start of the slot, ms since the epoch, UTC
    in   state.NAME   dtype and shape of the manifest  all zeros = stream never seen
    out  next.NAME    as state.NAME                    the row to store; any part may later be
                                                       zeroed while parts that do not need it are
                                                       kept
    out  one_step     f32 or f64 [batch, targets, quantiles]   forecast for timestamp + interval
    out  surprise     f32 [batch]                      -log density of `value` under the previous
                                                       one_step, in units of the running scale,
                                                       summed over observed targets; NaN without a
                                                       forecast or a value
    out  anomaly      f32 [batch]                      optional: in [0, 1], the share of the
                                                       stream's own past that was less surprising;
                                                       NaN where surprise is
    out  expected     f32 or f64 [batch, targets, quantiles]   optional: the previous one_step, for
                                                       this slot; NaN where there is none
    out  error        f64 [batch, targets]             optional: `value` minus the median of
                                                       `expected`; NaN without either
    out  scores       f32 [batch, targets, scores]     SCORES of the previous one_step, for `value`

forecast.onnx
    in   timestamp    i64 [batch]
    in   state.NAME   any subset of step's
    out  multi_step   f32 or f64 [batch, horizon, targets, quantiles]

jump.onnx
    in   steps        i64 [batch]                      number of slots, 1 or more
    in   timestamp    i64 [batch]                      start of the last of them
    in   state.NAME   any subset of step's
    out  next.NAME    as state.NAME, of the tensors that change; at least one

    A gap of up to `max_gap` slots from one reading to the next is stepped without values. In a
    longer one, all slots but the last SETTLING are jumped over, and those are stepped. Without
    jump.onnx the stream begins anew.

golden.npz
    value [steps, batch, channels], timestamp [steps, batch], scale [steps, batch] (running scale of
    each row after the step); one_step, surprise, scores, multi_step and those of anomaly, expected
    and error that step.onnx has, as above with a leading `steps` axis. With jump.onnx
    also jump_steps i64 [batch], jumped over after the last step, and jump_one_step and
    jump_multi_step, the outputs of a step without a value after that.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from eddycast.service.sealing.manifest_types import (
    OUTPUT_LIMIT,
    ROW_LIMIT,
    Count,
    Gap,
    Horizon,
    Instant,
    Label,
    ModelName,
    Sha256,
    Size,
    Span,
    Steps,
)
from eddycast.service.sealing.parts import CORE, Part, check_parts, meaning_of

CONTRACT: Final = 2
MANIFEST, STEP, FORECAST, GOLDEN = "manifest.json", "step.onnx", "forecast.onnx", "golden.npz"
#: Bundles of earlier trainers do not have it.
JUMP: Final = "jump.onnx"
#: Scores of the previous one-step forecast, in the order of the `scores` output.
SCORES = ("absolute_error", "last_value_absolute_error", "pinball", "covered_80", "pit")
#: Outputs of step.onnx that bundles of earlier trainers do not have.
OPTIONAL = ("anomaly", "expected", "error")
#: Quantiles that every bundle has: the point forecast and the 80 % interval.
REQUIRED_QUANTILES = (0.1, 0.5, 0.9)
#: Outputs may differ from golden.npz by this much of the running scale.
GOLDEN_TOLERANCE = 1e-4
#: Steps without a value over the last slots of a gap that was jumped over (`jump.onnx`), in which a
#: hidden state settles.
SETTLING = 96
#: Maximum number of codes for a missing value in one channel.
MOST_CODES = 100
#: Maximum size of manifest.json and of each other file, bytes.
MANIFEST_LIMIT, FILE_LIMIT = 1 << 20, 1 << 29

Dtype = Literal["float32", "float64", "int64", "int32", "bool"]
_BYTES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One tensor of a stream's state; `shape` excludes the batch dimension."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    dtype: Dtype
    shape: tuple[Size, ...] = Field(max_length=8)

    @property
    def row_bytes(self) -> int:
        return _BYTES[self.dtype] * math.prod(self.shape)


class TrainingRecord(_Frozen):
    """Provenance of a model: the data and the run that it was trained in."""

    # sha256 over values and stamps of the history
    fingerprint: Annotated[str, StringConstraints(max_length=64)]
    streams: Count
    observations: Count
    end_time_ms: Instant  # last stamp used to fit the weights
    seconds: float
    choice: str = ""  # why this family was selected, if several were fitted
    # why other streams are less well served: all that taught it were one, or alike
    narrow: str = ""
    suspects: str = ""  # number and place of readings held back as impossible
    refit: bool = False  # weights were refitted with the hold-out after a fit without it was scored
    # first and last stamp of the hold-out behind `backtest`
    holdout_start_ms: Instant | None = None
    holdout_end_ms: Instant | None = None


class BacktestFigure(_Frozen):
    """Errors of one model over every origin of the hold-out. None = does not apply."""

    model: Label
    horizon: Horizon
    origins: Count
    mse: float | None
    mae: float | None
    wql: float | None
    mase: float | None
    coverage_80: float | None


class ColdStartFigure(_Frozen):
    """One-step or multi-step forecasts of streams that were never seen before, between two numbers
    of readings since their first."""

    lead: Horizon
    readings_from: Count
    readings_until: Count  # exclusive
    scored: Count
    coverage_80: float
    relative_mae: float  # mean absolute error, relative to that of the last value


class Manifest(_Frozen):
    """manifest.json: everything that the service knows about a model."""

    contract: Literal[1, 2]
    name: ModelName
    version: Sha256  # see `model/manifest_file.py`
    family: Label
    channels: tuple[Label, ...] = Field(min_length=1, max_length=1_000)
    targets: tuple[Label, ...] = Field(min_length=1, max_length=1_000)
    interval_ms: Span
    horizon: Horizon
    forecast_interval_ms: Span
    quantiles: tuple[float, ...] = Field(max_length=999)
    state: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1_000)
    parts: tuple[Part, ...] = ()  # of the state; empty = a single part whose meaning is the version
    scores: tuple[str, ...] = SCORES
    warmup_steps: Steps
    max_gap: Gap  # slots from one reading to the next that are stepped over one by one
    seasons_ms: tuple[Span, ...] = Field((), max_length=8)
    support: Literal["real", "nonnegative", "integer"] = "real"
    kind: Literal["gauge", "counter"] = "gauge"
    register_size: float | None = Field(default=None, gt=0)  # value at which counters wrap around
    # numbers that mean a missing value, per channel; empty = none
    codes: tuple[tuple[FiniteFloat, ...], ...] = ()
    files: dict[str, Sha256]  # file name -> sha256
    training: TrainingRecord | None = None
    backtest: tuple[BacktestFigure, ...] = ()
    cold_start: tuple[ColdStartFigure, ...] = Field((), max_length=100)
    tools: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = self.quantiles
        if list(levels) != sorted(set(levels)) or not all(0 < q < 1 for q in levels):
            raise ValueError(f"quantiles must be strictly increasing between 0 and 1, not {levels}")
        if missing := [q for q in REQUIRED_QUANTILES if q not in levels]:
            raise ValueError(f"quantiles must include {REQUIRED_QUANTILES}, {missing} missing")
        if self.forecast_interval_ms % self.interval_ms:
            raise ValueError("forecast_interval_ms must be a multiple of interval_ms")
        if len({spec.name for spec in self.state}) != len(self.state):
            raise ValueError("two state tensors have the same name")
        if self.parts and self.contract == 1:
            raise ValueError("contract version 1 has no parts")
        if self.parts:
            check_parts(self.parts, {spec.name for spec in self.state})
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.codes and (
            len(self.codes) != len(self.channels) or max(map(len, self.codes)) > MOST_CODES
        ):
            raise ValueError(f"codes must be a list of up to {MOST_CODES} numbers for each channel")
        for names in (self.channels, self.targets):
            if len(set(names)) != len(names):
                raise ValueError(f"names of channels and of targets must be unique, not {names}")
        if unknown := set(self.targets) - set(self.channels):
            raise ValueError(f"targets {sorted(unknown)} are not among the channels")
        if set(self.files) - {JUMP} != {STEP, FORECAST, GOLDEN}:
            raise ValueError(f"files must be {STEP}, {FORECAST} and {GOLDEN}, {JUMP} may be one")
        if self.jumps and (self.contract == 1 or self.max_gap <= SETTLING):
            raise ValueError(f"with {JUMP}, contract must be 2 and max_gap at least {SETTLING + 1}")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        outputs = 8 * len(self.targets) * (self.horizon + 1) * len(self.quantiles)
        for size, limit, what in (
            (self.row_bytes, ROW_LIMIT, "a stream's state"),
            (outputs, OUTPUT_LIMIT, "one forecast"),
        ):
            if size > limit:
                raise ValueError(f"{what} takes {size:,} bytes, more than {limit:,}")
        return self

    @property
    def label(self) -> str:
        """The model's name in records and logs, for example `gru@3f9a1c`."""
        return f"{self.name}@{self.version[:6]}"

    @property
    def jumps(self) -> bool:
        """True if the bundle can move rows over long gaps."""
        return JUMP in self.files

    def longest_gap(self, state_ttl_ms: int) -> int:
        """Slots from one reading of a stream to the next beyond which it begins anew, unless the
        settings say otherwise: what the time to live allows if the bundle jumps, else `max_gap`."""
        return max(self.max_gap, state_ttl_ms // self.interval_ms) if self.jumps else self.max_gap

    @property
    def period(self) -> int | None:
        """Slots after which all seasons of the memory begin again together; None for a bundle of
        contract 1, whose seasons may not be named."""
        period_ms = math.lcm(self.interval_ms, *self.seasons_ms)
        return None if self.contract == 1 else period_ms // self.interval_ms

    @property
    def median(self) -> int:
        """Index of the point forecast among the quantiles."""
        return self.quantiles.index(0.5)

    @property
    def target_channels(self) -> tuple[int, ...]:
        """Index of each target among the channels."""
        return tuple(self.channels.index(target) for target in self.targets)

    @property
    def channel_codes(self) -> tuple[tuple[float, ...], ...]:
        """Codes for a missing value, one tuple per channel."""
        return self.codes or ((),) * len(self.channels)

    @property
    def row_bytes(self) -> int:
        """Size of one stream's tensors in bytes."""
        return sum(spec.row_bytes for spec in self.state)

    @property
    def row_parts(self) -> tuple[Part, ...]:
        """The parts of a row as listed; if none are,
        one part that only this version of the model can use."""
        if self.parts:
            return self.parts
        grid = {"interval_ms": self.interval_ms, "kind": self.kind, "channels": self.channels}
        whole = tuple(spec.name for spec in self.state)
        return (
            Part(name=CORE, tensors=whole, meaning=meaning_of({"version": self.version, **grid})),
        )


def layout_id_of(state: Iterable[TensorSpec]) -> str:
    """Return a digest of names, dtypes and shapes of a row's tensors."""
    layout = [spec.model_dump(mode="json") for spec in state]
    return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:16]
