"""The contract between training and serving, version 1. The one file both sides import.

A *bundle* is a directory of four files:

`manifest.json`   a `Manifest`, below.
`step.onnx`       consumes one observation a row.
`forecast.onnx`   forecasts `horizon` intervals ahead from a row of state; returns no state.
`golden.npz`      a short input sequence with missing values, and what the trainer saw come out.

step.onnx
    in   value        f64 [batch, channels]            NaN = missing; of a counter (`kind`) the raw reading: all
                                                       outputs are of its increase per interval
    in   timestamp    i64 [batch]                      ms since the epoch, UTC, the start of the slot
    in   state.NAME   as the manifest says             all zeros = a stream never seen
    out  next.NAME    as state.NAME                    the row to store
    out  one_step     f32 or f64 [batch, targets, quantiles]   forecast for timestamp + interval
    out  surprise     f32 [batch]                      -log density of `value` under the previous one_step, in
                                                       units of the running scale, summed over observed targets;
                                                       NaN where there was no forecast or no value
    out  scores       f32 [batch, targets, scores]     of the previous one_step against `value` (see SCORES)

forecast.onnx
    in   timestamp    i64 [batch]
    in   state.NAME   any of step's
    out  multi_step   f32 or f64 [batch, horizon, targets, quantiles]

golden.npz
    value [steps, batch, channels], timestamp [steps, batch], scale [steps, batch] (the running scale of each
    row after the step), one_step, surprise, scores, multi_step: the outputs after each step, stacked in front.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, ValidationError, model_validator

from service.errors import BundleError

CONTRACT: Final = 1
MANIFEST, STEP, FORECAST, GOLDEN = "manifest.json", "step.onnx", "forecast.onnx", "golden.npz"
#: The scores a step gives of the previous one-step forecast, in this order.
SCORES = ("absolute_error", "last_value_absolute_error", "pinball", "covered_80", "pit")
#: Quantiles that every bundle has: the point forecast and the 80 % interval.
REQUIRED_QUANTILES = (0.1, 0.5, 0.9)
#: Outputs may differ from golden.npz by this much of the running scale.
GOLDEN_TOLERANCE = 1e-4
#: `max_gap` may be no larger: the steps of one gap run one after the other, and a turn cannot be cut within a record.
LONGEST_GAP: Final = 10_000

Dtype = Literal["float32", "float64", "int64", "int32", "bool"]
_BYTES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One tensor of a stream's state; `shape` is without the batch dimension."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    dtype: Dtype
    shape: tuple[PositiveInt, ...]

    @property
    def row_bytes(self) -> int:
        return _BYTES[self.dtype] * math.prod(self.shape)


class TrainingRecord(_Frozen):
    """What the model was made from."""

    fingerprint: str  # sha256 over the values and stamps of the history
    streams: PositiveInt
    observations: PositiveInt
    end_time_ms: int  # last stamp that training saw
    seconds: float
    choice: str = ""  # why this family, where it was chosen among several


class BacktestFigure(_Frozen):
    """One row of the table at the end of training, all on the hold-out, every origin. None = does not apply."""

    model: str
    horizon: PositiveInt
    origins: int
    mse: float | None
    mae: float | None
    wql: float | None
    mase: float | None
    coverage_80: float | None


class Manifest(_Frozen):
    """Everything the service knows of a model."""

    contract: Literal[1]
    name: str
    version: str  # content hash of the other three files
    family: str
    channels: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    interval_ms: PositiveInt
    horizon: PositiveInt
    forecast_interval_ms: PositiveInt
    quantiles: tuple[float, ...]
    state: tuple[TensorSpec, ...] = Field(min_length=1)
    scores: tuple[str, ...] = SCORES
    warmup_steps: int = Field(ge=0)
    max_gap: PositiveInt = Field(le=LONGEST_GAP)
    seasons_ms: tuple[PositiveInt, ...] = ()
    support: Literal["real", "nonnegative", "integer"] = "real"
    kind: Literal["gauge", "counter"] = "gauge"
    files: dict[str, str]  # file name -> sha256
    training: TrainingRecord | None = None
    backtest: tuple[BacktestFigure, ...] = ()
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
        if unknown := set(self.targets) - set(self.channels):
            raise ValueError(f"targets {sorted(unknown)} are not among the channels")
        if set(self.files) != {STEP, FORECAST, GOLDEN}:
            raise ValueError(f"files must be {STEP}, {FORECAST} and {GOLDEN}")
        return self

    @property
    def label(self) -> str:
        """How records name the model, for example `gru@3f9a1c`."""
        return f"{self.name}@{self.version[:6]}"

    @property
    def median(self) -> int:
        """Index of the point forecast among the quantiles."""
        return self.quantiles.index(0.5)

    @property
    def target_channels(self) -> tuple[int, ...]:
        """Index of each target among the channels."""
        return tuple(self.channels.index(target) for target in self.targets)

    @property
    def row_bytes(self) -> int:
        """Bytes of one stream's tensors."""
        return sum(spec.row_bytes for spec in self.state)

    @property
    def layout_id(self) -> str:
        """Names the shape of a row: rows with the same id may be exchanged."""
        layout = [spec.model_dump(mode="json") for spec in self.state]
        return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_version(files: dict[str, str]) -> str:
    """The version that follows from the content: sha256 over the files' names and hashes."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def write_manifest(directory: Path, **fields: Any) -> Manifest:
    """Seal a bundle: hash the three files beside it, then write manifest.json from `fields`.

    `fields` are the manifest's, without `contract`, `version` and `files`. Raises BundleError if they break
    the contract.
    """
    files = {name: sha256_of(directory / name) for name in (STEP, FORECAST, GOLDEN)}
    try:
        manifest = Manifest(contract=CONTRACT, version=content_version(files), files=files, **fields)
    except ValidationError as error:
        raise BundleError(str(directory / MANIFEST), "a valid manifest", _first(error)) from error
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Read and verify `manifest.json` and the sha256 of every file it names.

    Raises BundleError with the file, what was expected and what was found. The graphs themselves are
    verified by `model/runtime.py`, which also replays golden.npz.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise BundleError(
            str(path), "a bundle's manifest", "no such file", "name a directory that `eddycast train` wrote"
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BundleError(str(path), "a manifest of contract version 1", _first(error)) from error
    for name, expected in manifest.files.items():
        file = directory / name
        if not file.is_file():
            raise BundleError(str(file), "a file of the bundle", "no such file")
        if (found := sha256_of(file)) != expected:
            raise BundleError(
                str(file), f"sha256 {expected[:12]}…", f"{found[:12]}…", "copy the bundle again, it is damaged"
            )
    if manifest.version != content_version(manifest.files):
        raise BundleError(str(path), f"version {content_version(manifest.files)[:12]}…", f"{manifest.version[:12]}…")
    return manifest


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where + ': ' if where else ''}{problem['msg']}"
