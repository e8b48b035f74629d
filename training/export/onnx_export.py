"""From a fitted forecaster to a bundle: its ONNX graphs, the golden sequence and the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from eddycast.service.bundle import (
    FORECAST,
    GOLDEN,
    JUMP,
    MANIFEST,
    OPTIONAL,
    STEP,
    BacktestFigure,
    ColdStartFigure,
    Manifest,
    TensorSpec,
    TrainingRecord,
)
from eddycast.service.errors import DataError
from eddycast.service.model.manifest_file import read_manifest, write_manifest
from eddycast.service.processing.missing_codes import Codes
from eddycast.service.sealing.parts import CORE, Part, meaning_of
from eddycast.training.data.gap_limit import stepped_gap
from eddycast.training.export.golden import golden_sequence
from eddycast.training.export.tracing import Signature, graph_of
from eddycast.training.models.joint import Joint, Model
from eddycast.training.recipe import Recipe

#: Forecasts that were scored on a stream before it is warm:
#: one step ahead, and at each calibrated lead.
SCORED, JUDGED = 48, 24
TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Identity:
    """Facts for the manifest that do not follow from the model."""

    name: str
    channels: tuple[str, ...] = ("value",)
    targets: tuple[str, ...] = ("value",)
    max_gap: int | None = None
    training: TrainingRecord | None = None
    codes: Codes = ()
    count: str | None = None  # the last channel, if it is the number of readings
    night: float = 0.0  # share of slots in nights without readings


class _StepGraph(nn.Module):
    """`step` of a model over flat tensors, in the order of `names`."""

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, value: Tensor, timestamp: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out = self.model.step(value, timestamp, dict(zip(self.names, state, strict=True)))
        return (
            out.one_step,
            out.surprise,
            out.scores,
            out.anomaly,
            out.expected,
            out.error,
            *(out.state[name] for name in self.names),
        )


class _ForecastGraph(nn.Module):
    """`forecast` of a model over flat tensors, in the order of `names`."""

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, timestamp: Tensor, *state: Tensor) -> Tensor:
        return self.model.forecast(timestamp, dict(zip(self.names, state, strict=True)))


class _JumpGraph(nn.Module):
    """`jump` of a model over flat tensors, in the order of `names`; the tensors `changed`."""

    def __init__(self, model: Model, names: Sequence[str], changed: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names, self.changed = model, tuple(names), tuple(changed)

    def forward(self, steps: Tensor, timestamp: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        new = self.model.jump(steps, timestamp, dict(zip(self.names, state, strict=True)))
        return tuple(new[name] for name in self.changed)


def export_bundle(
    model: Model, identity: Identity, directory: Path, *, row_limit: int = Recipe.row_limit
) -> Manifest:
    """Write `model` as a bundle into `directory`, which is created. Raises DataError for a state
    over `row_limit` bytes per target, and for weights that are not finite."""
    model = model.eval()
    _check_weights(model)
    state = model.initial_state(2)
    specs = tuple(_spec(name, tensor) for name, tensor in state.items())
    _check_size(specs, row_limit * len(identity.targets))
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    _export_step(model, state, directory / STEP)
    _export_forecast(model, state, directory / FORECAST)
    _export_jump(model, state, directory / JUMP)
    golden: dict[str, Any] = golden_sequence(model)
    np.savez(directory / GOLDEN, **golden)
    target, span = model.target, model.span
    seasons_ms = tuple(
        steps * target.interval_ms for steps in (target.season_steps, target.second_steps) if steps
    )
    return write_manifest(
        directory,
        name=identity.name,
        family=model.family,
        channels=identity.channels,
        targets=identity.targets,
        interval_ms=target.interval_ms,
        horizon=target.horizon,
        forecast_interval_ms=target.forecast_interval_ms,
        quantiles=target.quantiles,
        state=specs,
        parts=manifest_parts(model, identity),
        warmup_steps=warmup_steps(model, identity.night),
        max_gap=identity.max_gap or stepped_gap(span),
        seasons_ms=seasons_ms,
        support=target.support,
        kind=target.kind,
        register_size=target.register,
        codes=identity.codes,
        count_channel=identity.count,
        training=identity.training,
        tools={tool: version(tool) for tool in TOOLS},
    )


def _check_size(specs: Sequence[TensorSpec], limit: int) -> None:
    size = sum(spec.row_bytes for spec in specs)
    if size > limit:
        raise DataError(
            f"a stream's state takes {size} bytes, over the limit of {limit}",
            "shorten the season or the lags, or raise --row-limit",
        )


def _check_weights(model: Model) -> None:
    bad = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if bad:
        raise DataError(
            f"the fit gave weights that are not finite ({bad[0]})",
            "look for values far from all others; name codes for missing values with --missing",
        )


def warmup_steps(model: Model, night: float = 0.0) -> int:
    """Readings until a stream is warm: those of two seasons, of whose slots the share `night` has
    none, and as many as it takes until SCORED forecasts one step ahead and JUDGED at each
    calibrated lead within two seasons were scored."""
    seasons = round(2 * model.span * (1.0 - night))
    parts = model.parts if isinstance(model, Joint) else [model]
    anchors = {
        part.target.block * anchor
        for part in parts
        if part.calibration
        for anchor in part.calibration.anchors
    }
    return max(seasons, 1 + SCORED, *(lead + JUDGED for lead in anchors if lead <= seasons))


def manifest_parts(model: Model, identity: Identity) -> tuple[Part, ...]:
    """The parts of the state with their meanings.
    The names of the channels belong to the meaning of the core."""
    named = {"channels": identity.channels, "targets": identity.targets}
    return tuple(
        Part(
            name=part.name,
            tensors=part.tensors,
            meaning=meaning_of({"facts": part.facts, **(named if part.name == CORE else {})}),
            needs=part.needs,
        )
        for part in model.state_parts()
    )


def add_figures(
    directory: Path, backtest: Sequence[BacktestFigure], cold_start: Sequence[ColdStartFigure] = ()
) -> Manifest:
    """Write the figures of the hold-out into the manifest of a bundle; its version changes."""
    manifest = read_manifest(directory)
    figures = {"backtest": tuple(backtest), "cold_start": tuple(cold_start)}
    kept = manifest.model_dump(exclude={"contract", "version", "files", *figures})
    return write_manifest(directory, **kept, **figures)


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype: Any = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(name=name, dtype=dtype, shape=tuple(tensor.shape[1:]))


def _export_step(model: Model, state: dict[str, Tensor], path: Path) -> None:
    names = list(state)
    value = torch.zeros(2, 1 + model.target.others, dtype=torch.float64)
    timestamp = torch.zeros(2, dtype=torch.int64)
    outputs = ["one_step", "surprise", "scores", *OPTIONAL, *(f"next.{name}" for name in names)]
    signature = Signature(["value", "timestamp"], names, outputs)
    example = (value, timestamp, *state.values())
    onnx.save(graph_of(_StepGraph(model, names), example, signature), path)


def _export_forecast(model: Model, state: dict[str, Tensor], path: Path) -> None:
    names = list(state)
    timestamp = torch.zeros(2, dtype=torch.int64)
    signature = Signature(["timestamp"], names, ["multi_step"])
    graph = graph_of(_ForecastGraph(model, names), (timestamp, *state.values()), signature)
    _drop_unread_inputs(graph)
    onnx.save(graph, path)


def _export_jump(model: Model, state: dict[str, Tensor], path: Path) -> None:
    names = list(state)
    # two tensors: one and the same would be traced as one input
    steps, timestamp = torch.ones(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    changed = list(model.jump(steps, timestamp, state))
    signature = Signature(["steps", "timestamp"], names, [f"next.{name}" for name in changed])
    example = (steps, timestamp, *state.values())
    graph = graph_of(_JumpGraph(model, names, changed), example, signature)
    _drop_unread_inputs(graph)
    onnx.save(graph, path)


def _drop_unread_inputs(model: onnx.ModelProto) -> None:
    """Remove tensors of the state that a graph does not read,
    so that the service need not gather them."""
    read = {name for node in model.graph.node for name in node.input} | {"timestamp", "steps"}
    kept = [value for value in model.graph.input if value.name in read]
    del model.graph.input[:]
    model.graph.input.extend(kept)
