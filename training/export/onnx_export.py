"""A fitted forecaster becomes a bundle: two ONNX graphs, the golden sequence and the manifest.

The only file that imports the contract together with torch.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import FORECAST, GOLDEN, MANIFEST, STEP, BacktestFigure, Manifest, TensorSpec, TrainingRecord
from service.errors import DataError
from service.model.manifest_file import read_manifest, write_manifest
from service.processing.missing_codes import Codes
from service.sealing.parts import CORE, Part, meaning_of
from training.data.counters import increases
from training.data.gaps import usual_gap
from training.models import Joint, Target
from training.models.joint import Model
from training.models.memory.columns import unroll_memory
from training.models.quantiles.support import confine
from training.recipe import Recipe

GOLDEN_STEPS, GOLDEN_BATCH = 96, 3
TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Identity:
    """What the manifest says of a model beside its tensors."""

    name: str
    channels: tuple[str, ...] = ("value",)
    targets: tuple[str, ...] = ("value",)
    max_gap: int | None = None
    training: TrainingRecord | None = None
    codes: Codes = ()


class _StepGraph(nn.Module):
    """The model's `step` over flat tensors, in the order of `names`."""

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, value: Tensor, timestamp: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out = self.model.step(value, timestamp, dict(zip(self.names, state, strict=True)))
        return (out.one_step, out.surprise, out.scores, out.anomaly, *(out.state[name] for name in self.names))


class _ForecastGraph(nn.Module):
    """The model's `forecast` over flat tensors, in the order of `names`."""

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, timestamp: Tensor, *state: Tensor) -> Tensor:
        return self.model.forecast(timestamp, dict(zip(self.names, state, strict=True)))


def export_bundle(model: Model, identity: Identity, directory: Path, *, row_limit: int = Recipe.row_limit) -> Manifest:
    """Write `model` as a bundle into `directory`, which is made. Raises DataError for a row over `row_limit` bytes a
    target, and for weights that are no numbers."""
    model = model.eval()
    _check_weights(model)
    state = model.initial_state(2)
    specs = tuple(_spec(name, tensor) for name, tensor in state.items())
    if (size := sum(spec.row_bytes for spec in specs)) > (limit := row_limit * len(identity.targets)):
        raise DataError(
            f"a stream's state takes {size} bytes, over the limit of {limit}",
            "shorten the season or the lags, or raise --row-limit",
        )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    _export_step(model, state, directory / STEP)
    _export_forecast(model, state, directory / FORECAST)
    golden: dict[str, Any] = golden_sequence(model)
    np.savez(directory / GOLDEN, **golden)
    target, span = model.target, model.span
    seasons_ms = tuple(steps * target.interval_ms for steps in (target.season_steps, target.second_steps) if steps)
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
        warmup_steps=2 * span,
        max_gap=identity.max_gap or usual_gap(span),
        seasons_ms=seasons_ms,
        support=target.support,
        kind=target.kind,
        register_size=target.register,
        codes=identity.codes,
        training=identity.training,
        tools={tool: version(tool) for tool in TOOLS},
    )


def _check_weights(model: Model) -> None:
    bad = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if bad:
        raise DataError(
            f"the fit gave weights that are no numbers ({bad[0]})",
            "look for values far from all others, name codes of missing values with --missing",
        )


def manifest_parts(model: Model, identity: Identity) -> tuple[Part, ...]:
    """The parts of the state with their meanings; the channels belong to what the core means."""
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


def add_backtest(directory: Path, figures: Sequence[BacktestFigure]) -> Manifest:
    """Write the figures of the hold-out into the manifest. The version, a hash of the graphs, stays."""
    manifest = read_manifest(directory)
    kept = manifest.model_dump(exclude={"contract", "version", "files", "backtest"})
    return write_manifest(directory, **kept, backtest=tuple(figures))


def golden_sequence(model: Model) -> dict[str, NDArray[Any]]:
    """A short input with missing values, and what torch makes of it; see `service/bundle.py` for the arrays."""
    values, timestamps = golden_input(model.target, model.span)
    state = model.initial_state(GOLDEN_BATCH)
    names = ("one_step", "surprise", "scores", "anomaly", "multi_step")
    outputs: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    with torch.no_grad():
        for value, timestamp in zip(values, timestamps, strict=True):
            when = torch.as_tensor(timestamp)
            out = model.step(torch.as_tensor(value), when, state)
            state = out.state
            multi = model.forecast(when, state)
            made = (out.one_step, out.surprise, out.scores, out.anomaly, multi)
            for name, tensor in zip(names, made, strict=True):
                outputs[name].append(tensor.numpy())
    stacked = {name: np.stack(column) for name, column in outputs.items()}
    scale = _scale(model, values, timestamps[:, 0])
    return {"value": values, "timestamp": timestamps, "scale": scale, **stacked}


def _scale(model: Model, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> NDArray[np.float64]:
    """[steps, batch] the running scale after each step, of several targets the smallest."""
    targets = zip(model.parts, model.at, strict=True) if isinstance(model, Joint) else [(model, 0)]
    scales = []
    for part, at in targets:
        channel = values[:, :, at]
        seen = increases(channel, part.target.register) if part.target.kind == "counter" else channel
        scales.append(unroll_memory(part.memory.spec, seen, timestamps).scale)
    return np.asarray(np.min(scales, axis=0))


def golden_input(target: Target, span: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """value [steps, batch, channels] and timestamp [steps, batch]. Every channel has its own noise and holes."""
    channels = [_golden_channel(target, span, channel) for channel in range(1 + target.others)]
    start = 1_700_000_000_000 // target.interval_ms
    timestamps = np.repeat(((start + np.arange(GOLDEN_STEPS)) * target.interval_ms)[:, None], GOLDEN_BATCH, 1)
    return np.stack(channels, 2), timestamps


def _golden_channel(target: Target, span: int, channel: int) -> NDArray[np.float64]:
    """[steps, batch]: a season with noise, large values far from zero, and a late start; holes in all. Where there is a
    support, many zeros instead of what lies outside it. Counters add these values up, and the first starts again on the
    way."""
    random = np.random.default_rng(7 + channel)
    steps = np.arange(GOLDEN_STEPS)
    season = np.sin(2 * np.pi * steps / span)
    noise = random.normal(0, 0.2, (GOLDEN_STEPS, GOLDEN_BATCH))
    values = season[:, None] * (1.0, 250.0, 0.01) + noise * (1.0, 50.0, 0.002)
    values += (20.0, 48_211_734.25, -3.0) if target.support == "real" else 0.0
    values = confine(torch.as_tensor(values), target.support).numpy()
    if target.kind == "counter":
        values = values.cumsum(0) + np.array([20.0, 48_211_734.25, 0.0])
        values[60:, 0] -= values[60, 0]
    values[random.random(values.shape) < 0.1] = np.nan
    values[40 + 6 * channel : 52 + 6 * channel, 0] = np.nan
    values[: 9 + 5 * channel, 2] = np.nan
    return values


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype: Any = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(name=name, dtype=dtype, shape=tuple(tensor.shape[1:]))


def _export_step(model: Model, state: dict[str, Tensor], path: Path) -> None:
    names = list(state)
    value = torch.zeros(2, 1 + model.target.others, dtype=torch.float64)
    timestamp = torch.zeros(2, dtype=torch.int64)
    outputs = ["one_step", "surprise", "scores", "anomaly", *(f"next.{name}" for name in names)]
    _export(_StepGraph(model, names), (value, timestamp, *state.values()), ["value", "timestamp"], names, outputs, path)


def _export_forecast(model: Model, state: dict[str, Tensor], path: Path) -> None:
    timestamp = torch.zeros(2, dtype=torch.int64)
    graph = _ForecastGraph(model, list(state))
    _export(graph, (timestamp, *state.values()), ["timestamp"], list(state), ["multi_step"], path)
    _drop_unread_inputs(path)


def _export(
    graph: nn.Module, example: tuple[Tensor, ...], inputs: list[str], state: list[str], outputs: list[str], path: Path
) -> None:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    dynamic: Any = [{0: batch} for _ in inputs]
    dynamic.append(tuple({0: batch} for _ in state))
    with warnings.catch_warnings(), _Quiet():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            example,
            input_names=[*inputs, *(f"state.{name}" for name in state)],
            output_names=outputs,
            dynamic_shapes=tuple(dynamic),
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    if program is None:
        raise RuntimeError("torch exported no program")
    _bare(program.model_proto, path)


def _bare(model: onnx.ModelProto, path: Path) -> None:
    """Save the graph without the exporter's notes: they hold stack traces with paths of this machine, and would give
    the same model another hash on another."""
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    onnx.save(model, path)


def _drop_unread_inputs(path: Path) -> None:
    """The forecast reads only part of the state: what it does not read need not be gathered."""
    model = onnx.load(path)
    read = {name for node in model.graph.node for name in node.input} | {"timestamp"}
    kept = [value for value in model.graph.input if value.name in read]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    onnx.save(model, path)


class _Quiet:
    """Keep the exporter's own log lines and prints out of ours; why it fails stands in its exception."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.ERROR)
        self._prints = contextlib.redirect_stderr(io.StringIO())
        self._prints.__enter__()

    def __exit__(self, *failure: Any) -> None:
        self._prints.__exit__(*failure)
        logging.disable(self._level)
