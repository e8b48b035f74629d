"""Read an ONNX file and check it against the manifest before anything runs.

A graph must be self-contained (no external data), use plain ONNX (no custom operator domain), have
exactly the inputs and outputs of the contract by name, dtype and rank with a dynamic batch
dimension, and stay within `model/graph_limits.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from eddycast.service.bundle import GOLDEN, Manifest
from eddycast.service.errors import BundleError
from eddycast.service.model.graph_limits import MOST_WORK, check_operators, cost_of

DOMAINS = ("", "ai.onnx")
_FLOATS = ("float32", "float64")
_DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT64: "int64",
    TensorProto.INT32: "int32",
    TensorProto.BOOL: "bool",
}


@dataclass(frozen=True, slots=True)
class Port:
    """An expected input or output: one of `dtypes`, `shape` without the batch dimension."""

    dtypes: tuple[str, ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{' or '.join(self.dtypes)} [{', '.join(['batch', *map(str, self.shape)])}]"


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file that satisfies the contract."""

    path: Path
    content: bytes
    model: onnx.ModelProto
    has_control_flow: bool  # the cost of a call then depends on values and is not known

    def check_cost(self, rows: int, steps: int, batch: int) -> None:
        """Raise BundleError unless a call of `rows` rows, and `steps` calls of `batch` rows,
        are within limits.

        Graphs with control flow are not checked.
        """
        if self.has_control_flow:
            return
        work = steps * cost_of(self.path, self.model, rows).work
        if work > MOST_WORK and batch < rows:  # an upper bound so far; exact only if it matters
            work = steps * cost_of(self.path, self.model, batch).work
        if work > MOST_WORK:
            raise BundleError(
                str(self.path), f"at most {MOST_WORK:,} multiplications in {GOLDEN}", f"{work:,}"
            )


def read_step(
    path: Path, content: bytes, manifest: Manifest, operators: Collection[str] = ()
) -> Graph:
    """Read step.onnx, which may use `operators` besides those allowed for every bundle.

    Raises BundleError if it violates the contract.
    """
    targets = len(manifest.targets)
    state = _state_ports(manifest)
    inputs = {
        "value": Port(("float64",), (len(manifest.channels),)),
        "timestamp": Port(("int64",), ()),
    }
    outputs = {
        "one_step": Port(_FLOATS, (targets, len(manifest.quantiles))),
        "surprise": Port(("float32",), ()),
        "scores": Port(("float32",), (targets, len(manifest.scores))),
    }
    optional = {
        "anomaly": Port(("float32",), ()),
        "expected": outputs["one_step"],
        "error": Port(("float64",), (targets,)),
    }
    graph = _read(path, content, operators)
    ports = graph.model.graph
    _hold(
        path, "input", ports.input, inputs | {f"state.{name}": port for name, port in state.items()}
    )
    _hold(
        path,
        "output",
        ports.output,
        outputs | {f"next.{name}": port for name, port in state.items()},
        optional,
    )
    return graph


def read_forecast(
    path: Path, content: bytes, manifest: Manifest, operators: Collection[str] = ()
) -> Graph:
    """Read forecast.onnx, which may take any subset of the state.
    Raises BundleError as `read_step` does."""
    optional = {f"state.{name}": port for name, port in _state_ports(manifest).items()}
    multi_step = Port(_FLOATS, (manifest.horizon, len(manifest.targets), len(manifest.quantiles)))
    graph = _read(path, content, operators)
    _hold(path, "input", graph.model.graph.input, {"timestamp": Port(("int64",), ())}, optional)
    _hold(path, "output", graph.model.graph.output, {"multi_step": multi_step})
    return graph


def read_jump(
    path: Path, content: bytes, manifest: Manifest, operators: Collection[str] = ()
) -> Graph:
    """Read jump.onnx, which may take and return any subset of the state, and returns some of it.
    Raises BundleError as `read_step` does."""
    state = _state_ports(manifest)
    number = Port(("int64",), ())
    graph = _read(path, content, operators)
    taken = {f"state.{name}": port for name, port in state.items()}
    given = {f"next.{name}": port for name, port in state.items()}
    _hold(path, "input", graph.model.graph.input, {"steps": number, "timestamp": number}, taken)
    _hold(path, "output", graph.model.graph.output, {}, given)
    if not graph.model.graph.output:
        raise BundleError(str(path), "an output of the next row", "none")
    return graph


def _state_ports(manifest: Manifest) -> dict[str, Port]:
    return {spec.name: Port((spec.dtype,), spec.shape) for spec in manifest.state}


def _read(path: Path, content: bytes, operators: Collection[str]) -> Graph:
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own class, whose module has no types
        raise BundleError(
            str(path), "an ONNX model", f"bytes that do not parse ({error})"
        ) from error
    if not model.graph.node:
        raise BundleError(str(path), "an ONNX model", "a file without a graph")
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            found = f"tensor {tensor.name!r} kept outside the file"
            raise BundleError(
                str(path), "no external data", found, "export with external_data=False"
            )
    for domain, where in _domains(model):
        if domain not in DOMAINS:
            raise BundleError(
                str(path), "operators of the ai.onnx domain only", f"domain {domain!r} ({where})"
            )
    for there, what in (
        (model.functions, "local functions"),
        (model.training_info, "training information"),
        (any(graph.sparse_initializer for graph in _all_graphs(model)), "sparse constants"),
    ):
        if there:
            raise BundleError(str(path), "a plain graph", what)
    return Graph(path, content, model, check_operators(path, nodes_of(model), operators))


def _hold(
    path: Path,
    kind: str,
    found: Iterable[onnx.ValueInfoProto],
    required: dict[str, Port],
    optional: dict[str, Port] | None = None,
) -> None:
    """Compare declared inputs or outputs with the contract's.
    Raises BundleError at the first difference."""
    ports = required | (optional or {})
    declared = {value.name: value for value in found}
    for name in required:
        if name not in declared:
            raise BundleError(
                str(path), f"an {kind} {name!r}, {required[name]}", f"{kind}s {sorted(declared)}"
            )
    for name, value in declared.items():
        if name == "known" or name.startswith("known."):
            raise BundleError(
                str(path),
                "no known-future inputs (reserved)",
                f"{kind} {name!r}",
                "export without it",
            )
        if name not in ports:
            raise BundleError(
                str(path), f"{kind}s among {sorted(ports)}", f"an unknown {kind} {name!r}"
            )
        if problem := _mismatch(value, ports[name]):
            raise BundleError(str(path), f"{kind} {name!r} to be {ports[name]}", problem)


def _mismatch(value: onnx.ValueInfoProto, port: Port) -> str:
    """Describe how a declared value differs from `port`; empty if it does not."""
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype not in port.dtypes:
        return dtype or f"ONNX element type {tensor.elem_type}"
    if not tensor.HasField("shape"):
        return "no shape"
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if len(sizes) != len(port.shape) + 1:
        return f"rank {len(sizes)}"
    if sizes[0] is not None:
        return f"a batch dimension fixed at {sizes[0]}"
    if any(
        size not in (None, expected) for size, expected in zip(sizes[1:], port.shape, strict=True)
    ):
        return (
            f"[{', '.join('?' if size is None else str(size) for size in ['batch', *sizes[1:]])}]"
        )
    return ""


def _domains(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Yield every operator domain with the place that names it."""
    for opset in model.opset_import:
        yield opset.domain, "imported"
    for function in model.functions:
        yield function.domain, f"function {function.name}"
    for node in nodes_of(model):
        yield node.domain, f"node {node.op_type}"


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, including those of functions and nested graphs."""
    waiting = list(model.graph.node) + [
        node for function in model.functions for node in function.node
    ]
    while waiting:
        node = waiting.pop()
        yield node
        for graph in _graphs(node):
            waiting.extend(graph.node)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _all_graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield model.graph
    for node in nodes_of(model):
        yield from _graphs(node)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every constant of the model."""
    for node in nodes_of(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for tensor in (*attribute.sparse_tensors, attribute.sparse_tensor):
                yield from (tensor.values, tensor.indices)
    for graph in _all_graphs(model):
        yield from graph.initializer
        for tensor in graph.sparse_initializer:
            yield from (tensor.values, tensor.indices)
