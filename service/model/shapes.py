"""Shapes of all tensors of a graph for a given number of rows, without running it.

ONNX infers shapes from shapes. Where a graph computes a shape (`Shape`, integer arithmetic,
`Expand`), those integers are evaluated here and inference is repeated until nothing new is found.
The body of a `Scan` is treated as a graph that runs once per element of its sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Integers = NDArray[np.int64]
Shape = tuple[int, ...]
ValueInfo = onnx.ValueInfoProto
#: Maximum number of integers in a shape; larger tensors are data.
_FEW = 64
#: Maximum rounds of inference; each computed shape that depends on another takes one,
#: real graphs take three.
_ROUNDS = 16


class UnknownShape(Exception):
    """A tensor's shape depends on values that are only known when the graph runs."""

    def __init__(self, node: onnx.NodeProto) -> None:
        super().__init__(f"{node.op_type} {node.name!r}")


@dataclass(frozen=True, slots=True)
class Sized:
    """A graph, or the body of a scan, whose shapes are all known."""

    nodes: tuple[onnx.NodeProto, ...]
    # of inputs, constants, node outputs and values of the enclosing graph
    shapes: Mapping[str, Shape]
    times: int  # runs per call of the whole model


def sized(model: onnx.ModelProto, rows: int) -> Iterator[Sized]:
    """Yield the graph of `model` for `rows` rows, then the bodies of its scans;
    `model` is not modified.

    Shapes that the file declares are ignored except for inputs. Raises UnknownShape, and whatever
    `onnx.shape_inference` raises for contradicting shapes.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for value in whole.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = rows
    yield from _sized(whole, {}, 1)


def _sized(model: onnx.ModelProto, integers: dict[str, Integers], times: int) -> Iterator[Sized]:
    _undeclare(model.graph)
    nodes = tuple(model.graph.node)
    integers = integers | _few_integers(model.graph.initializer)
    values = _inferred(model, integers)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {
        name: shape for name, value in values.items() if (shape := _shape(value)) is not None
    }
    for node in nodes:
        if any(name and name not in shapes for name in node.output):
            raise UnknownShape(node)
    yield Sized(nodes, shapes, times)
    for node in nodes:
        if node.op_type == "Scan":
            body, length = _body(model, node, values, shapes)
            yield from _sized(body, integers, times * length)


def _undeclare(graph: onnx.GraphProto) -> None:
    """Remove every declared shape except those of inputs."""
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _undeclare(attribute.g)
                for value in attribute.g.input:
                    value.type.tensor_type.ClearField("shape")


def _few_integers(tensors: Iterable[onnx.TensorProto]) -> dict[str, Integers]:
    return {
        tensor.name: numpy_helper.to_array(tensor).astype(np.int64)
        for tensor in tensors
        if tensor.data_type in (TensorProto.INT64, TensorProto.INT32)
        and math.prod(tensor.dims) <= _FEW
    }


def _inferred(model: onnx.ModelProto, integers: dict[str, Integers]) -> dict[str, ValueInfo]:
    """Infer types and shapes of all values, evaluating shape integers in turn and adding them to
    `integers`."""
    values: dict[str, ValueInfo] = {}
    for _ in range(_ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = {
            value.name: value for value in (*inferred.input, *inferred.value_info, *inferred.output)
        }
        found: dict[str, Integers] = {}
        for node in model.graph.node:
            if len(node.output) == 1 and node.output[0] not in integers:
                computed = _computed(node, values, integers)
                if computed is not None:
                    found[node.output[0]] = integers[node.output[0]] = computed
        if not found:
            break
        kept = [
            node
            for node in model.graph.node
            if not (len(node.output) == 1 and node.output[0] in found)
        ]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in found.items()
        )
    return values


def _shape(value: ValueInfo | None) -> Shape | None:
    tensor = value.type.tensor_type if value is not None else None
    if (
        tensor is None
        or not tensor.HasField("shape")
        or not all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    ):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _body(
    model: onnx.ModelProto,
    scan: onnx.NodeProto,
    values: Mapping[str, ValueInfo],
    shapes: Mapping[str, Shape],
) -> tuple[onnx.ModelProto, int]:
    """Return the body of a scan as a model with input shapes, and how many times it runs."""
    attributes = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in scan.attribute
    }
    sequences, given = attributes["num_scan_inputs"], list(scan.input)
    axes = attributes.get("scan_input_axes", [0] * sequences)
    body = onnx.ModelProto()
    body.CopyFrom(model)
    body.graph.CopyFrom(attributes["body"])
    if (
        len(given) != len(body.graph.input)
        or not 0 < sequences <= len(given)
        or len(axes) != sequences
    ):
        raise UnknownShape(scan)
    length = 1
    for i, (value, name) in enumerate(zip(body.graph.input, given, strict=True)):
        shape = list(shapes[name])
        if i >= len(given) - sequences:
            length = shape.pop(axes[i - len(given) + sequences])
        value.CopyFrom(
            helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape)
        )
    own = {value.name for value in body.graph.input}
    for name in sorted(_read(body.graph) - own):
        if name in values:
            body.graph.input.append(values[name])
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    body.graph.initializer.extend(
        constants[name] for name in sorted(_read(body.graph) & constants.keys())
    )
    return body, length


def _read(graph: onnx.GraphProto) -> set[str]:
    """Return names that a graph, or one nested in it, reads from outside."""
    made = {name for node in graph.node for name in node.output} | {
        tensor.name for tensor in graph.initializer
    }
    inner = [
        attribute.g
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
    ]
    read = {name for node in graph.node for name in node.input}.union(
        *(_read(one) for one in inner)
    )
    return read - made


def _computed(
    node: onnx.NodeProto, values: Mapping[str, ValueInfo], integers: Mapping[str, Integers]
) -> Integers | None:
    """Evaluate a node that computes a shape; None for other nodes and while inputs are unknown."""
    attributes = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
    }
    if node.op_type == "Shape":
        shape = _shape(values.get(node.input[0]))
        return (
            None
            if shape is None
            else np.array(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)
        )
    if node.op_type == "Constant":
        constant = attributes.get("value")
        few = isinstance(constant, onnx.TensorProto) and _few_integers([constant])
        return next(iter(few.values())) if few else None
    compute = _COMPUTES.get(node.op_type)
    inputs = [integers.get(name) for name in node.input]
    if compute is None or not inputs or any(value is None for value in inputs):
        return None
    try:
        result = np.asarray(compute(attributes, *inputs), np.int64)
    except (ValueError, IndexError, KeyError, TypeError):
        return None  # an invalid node: onnxruntime refuses it
    return result if result.size <= _FEW else None


_COMPUTES: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "Cast": lambda at, a: a if at["to"] in (TensorProto.INT64, TensorProto.INT32) else None,
    "Concat": lambda at, *parts: np.concatenate(parts, at["axis"]),
    "Gather": lambda at, a, index: np.take(a, index, at.get("axis", 0)),
    "Identity": lambda _, a: a,
    "Mul": lambda _, a, b: a * b,
    "Squeeze": lambda _, a, *axes: np.squeeze(a, tuple(axes[0].tolist()) if axes else None),
    "Sub": lambda _, a, b: a - b,
    "Unsqueeze": lambda _, a, axes: np.expand_dims(a, tuple(axes.tolist())),
}
