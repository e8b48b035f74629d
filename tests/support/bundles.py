"""Small bundles made without torch: a random walk, written node by node, and a way to damage it.

The walk's formulas are simple enough for a test to repeat in plain Python:

    last   f64 [channels]   the last observed value
    count  f32 [channels]   observed values so far
    time   i64 [1]          the timestamp of the last step, to check the graph's input
    hidden f32 [hidden]     only if asked for: a tanh recurrence whose softplus is added to the
                            level, so that matrix products take part, and vector code whose bits
                            differ at the end of a column

    one_step   = last + OFFSETS * spread            NaN until something was observed
    multi_step = last + OFFSETS * sqrt(lead) + time of day as a fraction
    surprise   = half the squared error of the previous forecast, summed over observed targets
    anomaly    = 1 - exp(-surprise), only if asked for
    expected   = the one_step before, and error = value - its median, only if asked for
    jump       = the time alone, only if asked for: a hidden state then shows what was stepped
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from eddycast.service.bundle import FORECAST, GOLDEN, JUMP, STEP, Manifest, TensorSpec
from eddycast.service.model.manifest_file import write_manifest

Array = NDArray[Any]
QUANTILES = (0.1, 0.5, 0.9)
OFFSETS = np.array([-1.2815515655446004, 0.0, 1.2815515655446004])
DAY_MS = 86_400_000
START_MS = 1_700_000_000_000 // DAY_MS * DAY_MS
Value = onnx.ValueInfoProto
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


@dataclass(frozen=True)
class Walk:
    """Properties of the bundle to build. `spread` is the standard deviation one step ahead, in data
    units."""

    channels: tuple[str, ...] = ("value",)
    targets: tuple[str, ...] = ("value",)
    interval_ms: int = 60_000
    horizon: int = 3
    warmup_steps: int = 2
    max_gap: int = 8
    spread: float = 1.0
    hidden: int = 0
    seed: int = 7  # of the weights of the hidden state
    ranks: bool = False  # has an anomaly: 1 - exp(-surprise)
    expects: bool = False  # has `expected` and `error`
    jumps: bool = False  # has jump.onnx
    forecast_inputs: tuple[str, ...] = ("last", "count")  # `hidden` is added when there is one
    fields: dict[str, Any] = field(default_factory=dict)  # manifest fields to add or replace

    @property
    def state(self) -> tuple[TensorSpec, ...]:
        """The tensors of one row."""
        width = (len(self.channels),)
        specs = [
            TensorSpec(name="last", dtype="float64", shape=width),
            TensorSpec(name="count", dtype="float32", shape=width),
            TensorSpec(name="time", dtype="int64", shape=(1,)),
        ]
        if self.hidden:
            specs.append(TensorSpec(name="hidden", dtype="float32", shape=(self.hidden,)))
        return tuple(specs)


def listed(walk: Walk, **meanings: str) -> Walk:
    """`walk` with parts: its hidden state by itself, `latent`, all else the core;
    meanings by part."""
    core = {
        "name": "core",
        "tensors": [s.name for s in walk.state if s.name != "hidden"],
        "meaning": "c0de" * 4,
    }
    latent = {"name": "latent", "tensors": ["hidden"], "meaning": "1a7e" * 4, "needs": ["core"]}
    parts = [core, latent] if walk.hidden else [core]
    for part in parts:
        part["meaning"] = meanings.get(str(part["name"]), part["meaning"])
    return replace(walk, fields=walk.fields | {"parts": parts})


TWO_CHANNELS = Walk(channels=("flow", "level"), targets=("flow", "level"))
RECURRENT = Walk(hidden=24, expects=True)


class _Graph:
    """Collects nodes and constants; calling it adds a node and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def __call__(
        self, operator: str, *inputs: str, out: str | None = None, **attributes: Any
    ) -> str:
        output = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def cast(self, name: str, dtype: int, out: str | None = None) -> str:
        return self("Cast", name, out=out, to=dtype)

    def model(self, name: str, inputs: list[Value], outputs: list[Value]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _value(name: str, dtype: str, *shape: int) -> Value:
    return helper.make_tensor_value_info(name, _TYPES[dtype], ["batch", *shape])


def step_model(walk: Walk) -> onnx.ModelProto:
    """step.onnx of the walk."""
    g = _Graph()
    pick, axis2 = g.constant(walk_targets(walk)), g.constant([2])
    nan, nothing = g.constant(np.nan), g.constant(np.float32(0))
    missing = g("IsNaN", "value")
    last = g("Where", missing, "state.last", "value", out="next.last")
    count = g("Add", "state.count", g.cast(g("Not", missing), TensorProto.FLOAT), out="next.count")
    g("Unsqueeze", "timestamp", g.constant([1]), out="next.time")

    level = g("Gather", last, pick, axis=1)
    if walk.hidden:
        level = g("Add", level, _recurrence(g, walk, missing))
    ahead = g(
        "Add", g("Unsqueeze", level, axis2), g.constant(OFFSETS.reshape(1, 1, 3) * walk.spread)
    )
    known = g("Gather", g("Greater", count, nothing), pick, axis=1)
    g("Where", g("Unsqueeze", known, axis2), ahead, nan, out="one_step")

    error = g("Sub", g("Gather", "value", pick, axis=1), g("Gather", "state.last", pick, axis=1))
    had_one = g("Gather", g("Greater", "state.count", nothing), pick, axis=1)
    _surprise_and_scores(g, g("Where", had_one, error, nan))
    if walk.expects:
        _expected(g, walk, pick, had_one)
    if walk.ranks:
        g("Sub", g.constant(np.float32(1)), g("Exp", g("Neg", "surprise")), out="anomaly")

    targets = len(walk.targets)
    inputs = [_value("value", "float64", len(walk.channels)), _value("timestamp", "int64")]
    inputs += [_value(f"state.{s.name}", s.dtype, *s.shape) for s in walk.state]
    outputs = [_value(f"next.{s.name}", s.dtype, *s.shape) for s in walk.state]
    outputs += [
        _value("one_step", "float64", targets, 3),
        _value("surprise", "float32"),
        _value("scores", "float32", targets, 5),
    ]
    outputs += [_value("anomaly", "float32")] if walk.ranks else []
    if walk.expects:
        outputs += [_value("expected", "float64", targets, 3), _value("error", "float64", targets)]
    return g.model("step", inputs, outputs)


def _expected(g: _Graph, walk: Walk, pick: str, had_one: str) -> None:
    """The one-step forecast that follows from the row before the step."""
    level = g("Gather", "state.last", pick, axis=1)
    if walk.hidden:
        level = g("Add", level, _effect(g, walk, "state.hidden"))
    level = g("Where", had_one, level, g.constant(np.nan))
    offsets = g.constant(OFFSETS.reshape(1, 1, 3) * walk.spread)
    g("Add", g("Unsqueeze", level, g.constant([2])), offsets, out="expected")
    g("Sub", g("Gather", "value", pick, axis=1), level, out="error")


def walk_targets(walk: Walk) -> Array:
    """Index of each target among the channels."""
    return np.array([walk.channels.index(target) for target in walk.targets], np.int64)


def _weights(walk: Walk) -> list[Array]:
    rng = np.random.default_rng(walk.seed)
    shapes = (
        (walk.hidden, walk.hidden),
        (len(walk.channels), walk.hidden),
        (walk.hidden, len(walk.targets)),
    )
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]


def _recurrence(g: _Graph, walk: Walk, missing: str) -> str:
    """hidden' = tanh(hidden W + change U); returns its effect on the level,
    [batch, targets] f64."""
    recurrent, entry = map(g.constant, _weights(walk)[:2])
    change = g("Where", missing, g.constant(0.0), g("Sub", "value", "state.last"))
    driven = g("MatMul", g.cast(g("Tanh", change), TensorProto.FLOAT), entry)
    hidden = g("Tanh", g("Add", g("MatMul", "state.hidden", recurrent), driven), out="next.hidden")
    return _effect(g, walk, hidden)


def _effect(g: _Graph, walk: Walk, hidden: str) -> str:
    """The effect of a hidden state on the level, [batch, targets] f64."""
    leave = g.constant(_weights(walk)[2])
    return g("Softplus", g.cast(g("MatMul", hidden, leave), TensorProto.DOUBLE))


def _surprise_and_scores(g: _Graph, error: str) -> None:
    """`error` is [batch, targets], NaN where there was no forecast or no value."""
    nan, zero, axis1, axis2 = g.constant(np.nan), g.constant(0.0), g.constant([1]), g.constant([2])
    unknown = g("IsNaN", error)
    half_square = g("Mul", g("Mul", error, error), g.constant(0.5))
    total = g("ReduceSum", g("Where", unknown, zero, half_square), axis1, keepdims=0)
    none = g.cast(
        g("ReduceMin", g.cast(unknown, TensorProto.INT32), axis1, keepdims=0), TensorProto.BOOL
    )
    g.cast(g("Where", none, nan, total), TensorProto.FLOAT, out="surprise")

    absolute = g("Abs", error)
    inside = g.cast(g("LessOrEqual", absolute, g.constant(OFFSETS[-1])), TensorProto.DOUBLE)
    covered = g("Where", unknown, nan, inside)
    columns = [
        absolute,
        absolute,
        g("Mul", absolute, g.constant(0.5)),
        covered,
        g("Sigmoid", error),
    ]
    stacked = g("Concat", *[g("Unsqueeze", column, axis2) for column in columns], axis=2)
    g.cast(stacked, TensorProto.FLOAT, out="scores")


def forecast_model(walk: Walk) -> onnx.ModelProto:
    """forecast.onnx of the walk."""
    g = _Graph()
    pick = g.constant(walk_targets(walk))
    level = g("Gather", "state.last", pick, axis=1)
    if walk.hidden:
        level = g("Add", level, _effect(g, walk, "state.hidden"))
    day = g(
        "Div",
        g.cast(g("Mod", "timestamp", g.constant(DAY_MS)), TensorProto.DOUBLE),
        g.constant(float(DAY_MS)),
    )
    level = g(
        "Unsqueeze", g("Add", level, g("Unsqueeze", day, g.constant([1]))), g.constant([1, 3])
    )
    leads = np.sqrt(np.arange(1.0, walk.horizon + 1)).reshape(1, -1, 1, 1)
    ahead = g("Add", level, g.constant(walk.spread * leads * OFFSETS))
    known = g("Gather", g("Greater", "state.count", g.constant(np.float32(0))), pick, axis=1)
    g(
        "Where",
        g("Unsqueeze", known, g.constant([1, 3])),
        ahead,
        g.constant(np.nan),
        out="multi_step",
    )

    wanted = {*walk.forecast_inputs, *(("hidden",) if walk.hidden else ())}
    inputs = [_value("timestamp", "int64")]
    inputs += [_value(f"state.{s.name}", s.dtype, *s.shape) for s in walk.state if s.name in wanted]
    return g.model(
        "forecast", inputs, [_value("multi_step", "float64", walk.horizon, len(walk.targets), 3)]
    )


def jump_model(walk: Walk) -> onnx.ModelProto:
    """jump.onnx of the walk."""
    g = _Graph()
    g("Unsqueeze", "timestamp", g.constant([1]), out="next.time")
    inputs = [_value("steps", "int64"), _value("timestamp", "int64")]
    return g.model("jump", inputs, [_value("next.time", "int64", 1)])


def golden(walk: Walk, step: onnx.ModelProto, forecast: onnx.ModelProto) -> dict[str, Array]:
    """Contents of golden.npz: a sequence with missing values,
    and the outputs of onnxruntime for it."""
    steps, batch = 12, 3
    rng = np.random.default_rng(11)
    values = np.cumsum(rng.normal(0, 1, (steps, batch, len(walk.channels))), axis=0)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:2, 0] = np.nan
    stamps = (
        START_MS
        + np.arange(steps, dtype=np.int64)[:, None] * walk.interval_ms
        + np.zeros((1, batch), np.int64)
    )
    state = {s.name: np.zeros((batch, *s.shape), s.dtype) for s in walk.state}
    sessions = [
        onnxruntime.InferenceSession(model.SerializeToString()) for model in (step, forecast)
    ]
    columns: dict[str, list[Array]] = {
        "one_step": [],
        "surprise": [],
        "scores": [],
        "multi_step": [],
    }
    columns |= {"anomaly": []} if walk.ranks else {}
    columns |= {"expected": [], "error": []} if walk.expects else {}
    for value, timestamp in zip(values, stamps, strict=True):
        feeds = {
            "value": value,
            "timestamp": timestamp,
            **{f"state.{name}": row for name, row in state.items()},
        }
        outputs = dict(
            zip(
                [o.name for o in sessions[0].get_outputs()],
                sessions[0].run(None, feeds),
                strict=True,
            )
        )
        state = {name: outputs[f"next.{name}"] for name in state}
        feeds = {"timestamp": timestamp, **{f"state.{name}": row for name, row in state.items()}}
        named = {i.name for i in sessions[1].get_inputs()}
        outputs["multi_step"] = sessions[1].run(
            None, {name: feed for name, feed in feeds.items() if name in named}
        )[0]
        for name, column in columns.items():
            column.append(outputs[name])
    scale = np.where(np.arange(steps)[:, None] < 2, 0.0, walk.spread) + np.zeros((1, batch))
    jumped = _after_jump(walk, stamps[-1], state, sessions) if walk.jumps else {}
    return (
        {"value": values, "timestamp": stamps, "scale": scale}
        | jumped
        | {name: np.stack(c) for name, c in columns.items()}
    )


def _after_jump(
    walk: Walk,
    stamps: Array,
    state: dict[str, Array],
    sessions: list[onnxruntime.InferenceSession],
) -> dict[str, Array]:
    """The arrays of golden.npz for the jump."""
    steps = np.array([1, 9, 1000])
    after = {"timestamp": stamps + (steps + 1) * walk.interval_ms}
    row = {f"state.{name}": tensor for name, tensor in state.items()}
    row["state.time"] = (stamps + steps * walk.interval_ms)[:, None]
    value = np.full((len(steps), len(walk.channels)), np.nan)
    names = [o.name for o in sessions[0].get_outputs()]
    out = dict(zip(names, sessions[0].run(None, {"value": value, **after, **row}), strict=True))
    given = after | {name: out[name.replace("state.", "next.")] for name in row}
    taken = {i.name for i in sessions[1].get_inputs()}
    (multi,) = sessions[1].run(None, {name: given[name] for name in taken})
    return {"jump_steps": steps, "jump_one_step": out["one_step"], "jump_multi_step": multi}


@dataclass
class Parts:
    """The parts of a bundle before it is sealed; what a `damage` function changes."""

    step: onnx.ModelProto
    forecast: onnx.ModelProto
    golden: dict[str, Array]
    fields: dict[str, Any]
    # file name -> content to write in its place
    raw: dict[str, bytes] = field(default_factory=dict)
    jump: onnx.ModelProto | None = None


def write_bundle(
    directory: Path, walk: Walk | None = None, damage: Callable[[Parts], None] | None = None
) -> Manifest:
    """Write a bundle into `directory`. `damage` changes its parts before the manifest is sealed, so
    that every hash is right and only the contract is broken."""
    walk = walk or Walk()
    step, forecast = step_model(walk), forecast_model(walk)
    fields: dict[str, Any] = {
        "name": "walk",
        "family": "naive",
        "channels": walk.channels,
        "targets": walk.targets,
        "interval_ms": walk.interval_ms,
        "horizon": walk.horizon,
        "forecast_interval_ms": walk.interval_ms,
        "quantiles": QUANTILES,
        "state": walk.state,
        "warmup_steps": walk.warmup_steps,
        "max_gap": walk.max_gap,
    }
    parts = Parts(step, forecast, golden(walk, step, forecast), fields | walk.fields)
    parts.jump = jump_model(walk) if walk.jumps else None
    if damage:
        damage(parts)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / STEP).write_bytes(parts.step.SerializeToString())
    (directory / FORECAST).write_bytes(parts.forecast.SerializeToString())
    if parts.jump:
        (directory / JUMP).write_bytes(parts.jump.SerializeToString())
    np.savez(directory / GOLDEN, **parts.golden)  # type: ignore[arg-type]
    for name, content in parts.raw.items():
        (directory / name).write_bytes(content)
    return write_manifest(directory, **parts.fields)
