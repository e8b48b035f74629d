"""The contract between training and serving, version 2. The one file both sides import.

A *bundle* is a directory of four files:

`manifest.json`   a `Manifest`, below. Version 2 may list the parts of a row (`service/sealing/parts.py`); bundles of
                  version 1 are served as well, their rows are one part.
`step.onnx`       consumes one observation a row.
`forecast.onnx`   forecasts `horizon` intervals ahead from a row of state; returns no state.
`golden.npz`      a short input sequence with missing values, and what the trainer saw come out.

step.onnx
    in   value        f64 [batch, channels]            NaN = missing; of a counter (`kind`) the raw reading: all
                                                       outputs are of its increase per interval
    in   timestamp    i64 [batch]                      ms since the epoch, UTC, the start of the slot
    in   state.NAME   as the manifest says             all zeros = a stream never seen
    out  next.NAME    as state.NAME                    the row to store; any part of it may come back as zeros while
                                                       those that it does not need are warm
    out  one_step     f32 or f64 [batch, targets, quantiles]   forecast for timestamp + interval
    out  surprise     f32 [batch]                      -log density of `value` under the previous one_step, in
                                                       units of the running scale, summed over observed targets;
                                                       NaN where there was no forecast or no value
    out  anomaly      f32 [batch]                      optional: in [0, 1], the share of this stream's earlier
                                                       readings that surprised less; NaN where surprise is
    out  scores       f32 [batch, targets, scores]     of the previous one_step against `value` (see SCORES)

forecast.onnx
    in   timestamp    i64 [batch]
    in   state.NAME   any of step's
    out  multi_step   f32 or f64 [batch, horizon, targets, quantiles]

golden.npz
    value [steps, batch, channels], timestamp [steps, batch], scale [steps, batch] (the running scale of each
    row after the step), one_step, surprise, scores, multi_step, and anomaly where step.onnx has it: the outputs
    after each step, stacked in front.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from service.errors import BundleError
from service.sealing.bundle_files import read_file
from service.sealing.bundle_limits import (
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
from service.sealing.parts import CORE, Part, check_parts, meaning_of
from service.sealing.trust import Trust

CONTRACT: Final = 2
MANIFEST, STEP, FORECAST, GOLDEN = "manifest.json", "step.onnx", "forecast.onnx", "golden.npz"
#: The scores a step gives of the previous one-step forecast, in this order.
SCORES = ("absolute_error", "last_value_absolute_error", "pinball", "covered_80", "pit")
#: Quantiles that every bundle has: the point forecast and the 80 % interval.
REQUIRED_QUANTILES = (0.1, 0.5, 0.9)
#: Outputs may differ from golden.npz by this much of the running scale.
GOLDEN_TOLERANCE = 1e-4
#: Numbers that mean a missing value in one channel.
MOST_CODES = 100
#: Bytes of manifest.json and of each other file.
MANIFEST_LIMIT, FILE_LIMIT = 1 << 20, 1 << 29

#: What a training record says of times.
_TOOK = ("seconds", "choice")
Dtype = Literal["float32", "float64", "int64", "int32", "bool"]
_BYTES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "bool": 1}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One tensor of a stream's state; `shape` is without the batch dimension."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    dtype: Dtype
    shape: tuple[Size, ...] = Field(max_length=8)

    @property
    def row_bytes(self) -> int:
        return _BYTES[self.dtype] * math.prod(self.shape)


class TrainingRecord(_Frozen):
    """What the model was made from."""

    fingerprint: Annotated[str, StringConstraints(max_length=64)]  # sha256 over the values and stamps of the history
    streams: Count
    observations: Count
    end_time_ms: Instant  # last stamp that the weights saw
    seconds: float
    choice: str = ""  # why this family, where it was chosen among several
    suspects: str = ""  # how many readings were held back as impossible, and where
    refit: bool = False  # the weights were fitted once more, on the hold-out too, after a fit without it was scored
    holdout_start_ms: Instant | None = None  # first and last stamp of what the figures of `backtest` are of
    holdout_end_ms: Instant | None = None


class BacktestFigure(_Frozen):
    """One row of the table at the end of training, all on the hold-out, every origin. None = does not apply."""

    model: Label
    horizon: Horizon
    origins: Count
    mse: float | None
    mae: float | None
    wql: float | None
    mase: float | None
    coverage_80: float | None


class Manifest(_Frozen):
    """Everything the service knows of a model."""

    contract: Literal[1, 2]
    name: ModelName
    version: Sha256  # see `content_version`
    family: Label
    channels: tuple[Label, ...] = Field(min_length=1, max_length=1_000)
    targets: tuple[Label, ...] = Field(min_length=1, max_length=1_000)
    interval_ms: Span
    horizon: Horizon
    forecast_interval_ms: Span
    quantiles: tuple[float, ...] = Field(max_length=999)
    state: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1_000)
    parts: tuple[Part, ...] = ()  # of the state; none = one, whose meaning is the version
    scores: tuple[str, ...] = SCORES
    warmup_steps: Steps
    max_gap: Gap
    seasons_ms: tuple[Span, ...] = Field((), max_length=8)
    support: Literal["real", "nonnegative", "integer"] = "real"
    kind: Literal["gauge", "counter"] = "gauge"
    register_size: float | None = Field(default=None, gt=0)  # of the register that counters count in
    codes: tuple[tuple[FiniteFloat, ...], ...] = ()  # numbers that mean a missing value, by channel; none = no channel
    files: dict[str, Sha256]  # file name -> sha256
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
        if self.parts and self.contract == 1:
            raise ValueError("contract version 1 knows no parts")
        if self.parts:
            check_parts(self.parts, {spec.name for spec in self.state})
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.codes and (len(self.codes) != len(self.channels) or max(map(len, self.codes)) > MOST_CODES):
            raise ValueError(f"codes must be a list of up to {MOST_CODES} numbers for each channel")
        for names in (self.channels, self.targets):
            if len(set(names)) != len(names):
                raise ValueError(f"channels and targets must have names of their own, not {names}")
        if unknown := set(self.targets) - set(self.channels):
            raise ValueError(f"targets {sorted(unknown)} are not among the channels")
        if set(self.files) != {STEP, FORECAST, GOLDEN}:
            raise ValueError(f"files must be {STEP}, {FORECAST} and {GOLDEN}")
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
    def channel_codes(self) -> tuple[tuple[float, ...], ...]:
        """The codes for a missing value of each channel, if only that there are none."""
        return self.codes or ((),) * len(self.channels)

    @property
    def row_bytes(self) -> int:
        """Bytes of one stream's tensors."""
        return sum(spec.row_bytes for spec in self.state)

    @property
    def row_parts(self) -> tuple[Part, ...]:
        """The parts of the state: those that the manifest lists. Where it lists none the whole row is one, which no
        other version of the model understands."""
        if self.parts:
            return self.parts
        grid = {"interval_ms": self.interval_ms, "kind": self.kind, "channels": self.channels}
        whole = tuple(spec.name for spec in self.state)
        return (Part(name=CORE, tensors=whole, meaning=meaning_of({"version": self.version, **grid})),)


def layout_id_of(state: Iterable[TensorSpec]) -> str:
    """The digest of names, types and shapes of a row's tensors."""
    layout = [spec.model_dump(mode="json") for spec in state]
    return hashlib.sha256(json.dumps(layout, sort_keys=True).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_version(files: dict[str, str]) -> str:
    """The version of a bundle of contract 1: sha256 over the names and hashes of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def manifest_version(document: Mapping[str, Any]) -> str:
    """The version since contract 2: sha256 over everything that the manifest says, the hashes of the files included.
    Left out are the version itself, and how long training took and each family in it: the same training has the same
    version."""
    said = {name: value for name, value in document.items() if name != "version"}
    if isinstance(record := said.get("training"), dict):
        said["training"] = {name: value for name, value in record.items() if name not in _TOOK}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_manifest(directory: Path, **fields: Any) -> Manifest:
    """Seal a bundle: hash the three files beside it, then write manifest.json from `fields`.

    `fields` are the manifest's, without `contract`, `version` and `files`. Raises BundleError if they break
    the contract.
    """
    files = {name: sha256_of(directory / name) for name in (STEP, FORECAST, GOLDEN)}
    try:
        manifest = Manifest(contract=CONTRACT, version="0" * 64, files=files, **fields)
    except ValidationError as error:
        raise BundleError(str(directory / MANIFEST), "a valid manifest", _first(error)) from error
    manifest = manifest.model_copy(update={"version": manifest_version(manifest.model_dump(mode="json"))})
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(directory: Path, trust: Trust = Trust()) -> Manifest:  # noqa: B008 - frozen
    """Read and verify `manifest.json` and the sha256 of every file it names.

    Raises BundleError with the file, what was expected and what was found. The graphs themselves are
    verified by `model/runtime.py`, which also replays golden.npz.
    """
    return read_bundle(directory, trust)[0]


def read_bundle(directory: Path, trust: Trust = Trust()) -> tuple[Manifest, dict[str, bytes]]:  # noqa: B008 - frozen
    """The manifest as `read_manifest` verifies it, and the bytes of each file that were verified with it. Raises
    BundleError, also for a version and a signer that `trust` does not name."""
    path = directory / MANIFEST
    if not path.exists():
        raise BundleError(
            str(path), "a bundle's manifest", "no such file", "name a directory that `eddycast train` wrote"
        )
    content = read_file(path, MANIFEST_LIMIT)
    if trust.keys:
        from service.sealing.signing import verify  # cryptography is not needed otherwise

        verify(path, content, trust.keys)
    manifest = _parsed(path, content)
    if not manifest.version.startswith(trust.version):
        action = "put that version back, or change bundle.version"
        raise BundleError(
            str(path), f"version {trust.version}", manifest.version[: max(12, len(trust.version))], action
        )
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        file = directory / name
        contents[name] = read_file(file, FILE_LIMIT)
        if (found := hashlib.sha256(contents[name]).hexdigest()) != expected:
            raise BundleError(
                str(file), f"sha256 {expected[:12]}…", f"{found[:12]}…", "copy the bundle again, it is damaged"
            )
    return manifest, contents


def _parsed(path: Path, content: bytes) -> Manifest:
    """The manifest, whose version is that of its content."""
    expected = f"a manifest of contract version 1 or {CONTRACT}"
    try:
        document = json.loads(content, object_pairs_hook=_each_once, parse_constant=_no_number)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(str(path), expected, _first(error)) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(str(path), expected, f"no JSON: {error}") from error
    version = content_version(manifest.files) if manifest.contract == 1 else manifest_version(document)
    if manifest.version != version:
        raise BundleError(str(path), f"version {version[:12]}…", f"{manifest.version[:12]}…: it was changed since")
    return manifest


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name comes twice")
    return document


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    found = f", not {problem['input']!r:.60}" if isinstance(problem["input"], int | float | str) else ""
    return f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}{found}"
