"""Limits of a graph: operators, tensor sizes and work of one call, determined without running it.

The run time of an allowed operator follows from the shapes of its inputs. Once every shape is known
for the largest batch, memory and work of a call are bounded, whatever the values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from eddycast.service.errors import BundleError
from eddycast.service.model.shapes import Shape, Sized, UnknownShape, sized

#: Operators of the built-in families; a test compares the list with the exporter's output.
EMITTED = frozenset([
    "Abs", "Add", "And", "Cast", "Clip", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div",
    "Equal", "Exp", "Expand", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Greater",
    "GreaterOrEqual", "Identity", "IsNaN", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min",
    "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Reciprocal", "ReduceMean", "ReduceMin", "ReduceSum",
    "Relu", "Reshape", "Round", "Scan", "Shape", "Sigmoid", "Sin", "Slice", "Softmax", "Softplus",
    "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
])  # fmt: skip
#: Further operators that custom families often need. Their work follows from shapes, too.
CUSTOM_FAMILIES = frozenset([
    "Acos", "ArgMax", "ArgMin", "Asin", "Atan", "BatchNormalization", "CastLike", "Ceil", "Celu",
    "Constant", "Conv", "Cosh", "Einsum", "Elu", "Erf", "Flatten", "GRU", "Gelu",
    "GroupNormalization", "HardSigmoid", "HardSwish", "InstanceNormalization", "IsInf", "LSTM",
    "LayerNormalization", "LeakyRelu", "LogSoftmax", "Mean", "Mish", "PRelu", "Pow", "RNN", "Range",
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceProd", "ReduceSumSquare",
    "ScatterElements", "ScatterND", "Selu", "Sign", "Sinh", "Size", "Softsign", "Sqrt",
    "Sum", "Tan", "Tile", "TopK", "Trilu", "Xor",
])  # fmt: skip
#: Operators whose run time depends on data: allowed only by name,
#: and every call then has a time limit.
CONTROL_FLOW = frozenset(("If", "Loop"))

#: Maximum number of nodes in a graph, including bodies of control flow.
MOST_NODES = 20_000
#: Maximum bytes of one tensor: the larger of this and a multiple of the largest input or output.
LARGEST_TENSOR, TIMES_LARGEST = 1 << 28, 4
#: Maximum bytes of all tensors of one call, likewise.
ALL_TENSORS, TIMES_ALL = 1 << 32, 64
#: Maximum multiplications of one call, or of all steps of golden.npz: seconds of one core. An
#: element that is read or written counts as ELEMENT multiplications, because it may be a sine.
MOST_WORK, ELEMENT = 1 << 35, 16
#: Maximum bytes of an element.
_WIDEST = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one call of a graph."""

    work: int  # multiplications
    largest: int  # bytes of the largest tensor
    total: int  # bytes of all tensors


def check_operators(
    path: Path, nodes: Iterable[onnx.NodeProto], further: Collection[str] = ()
) -> bool:
    """Check operators and number of nodes; return True if the graph has control flow.

    `further` are allowed besides the operators above. Raises BundleError.
    """
    allowed = EMITTED | CUSTOM_FAMILIES | frozenset(further)
    has_control_flow = False
    for place, node in enumerate(nodes):
        if node.op_type not in allowed:
            raise BundleError(
                str(path),
                "operators of the built-in families",
                f"operator {node.op_type!r}",
                f"if this bundle is trusted, allow it: bundle.operators={node.op_type}",
            )
        if place == MOST_NODES:
            raise BundleError(str(path), f"at most {MOST_NODES:,} nodes", "more")
        has_control_flow = has_control_flow or node.op_type in CONTROL_FLOW
    return has_control_flow


def cost_of(path: Path, model: onnx.ModelProto, rows: int) -> Cost:
    """Return the cost of one call with `rows` rows.

    Raises BundleError if it does not follow from shapes alone or exceeds the limits.
    """
    try:
        graphs = list(sized(model, rows))
    except UnknownShape as unknown:
        raise BundleError(
            str(path),
            "shapes that follow from the graph alone",
            f"{unknown}, whose shape depends on values",
        ) from None
    except Exception as error:  # onnx's own classes share no public base
        raise BundleError(str(path), "shapes that fit each other", _line(error)) from error
    ports = [
        math.prod(graphs[0].shapes[value.name]) * _WIDEST
        for value in (*model.graph.input, *model.graph.output)
    ]
    sizes = [math.prod(shape) * _WIDEST for graph in graphs for shape in graph.shapes.values()]
    cost = Cost(sum(map(_work, graphs)), max(sizes), sum(sizes))
    for found, limit, what in (
        (cost.largest, max(LARGEST_TENSOR, TIMES_LARGEST * max(ports)), "bytes in a tensor"),
        (cost.total, max(ALL_TENSORS, TIMES_ALL * sum(ports)), "bytes in all tensors"),
        (cost.work, MOST_WORK, "multiplications"),
    ):
        if found > limit:
            raise BundleError(
                str(path), f"at most {limit:,} {what} in a call of {rows} rows", f"{found:,}"
            )
    return cost


def _work(graph: Sized) -> int:
    return graph.times * sum(_work_of(node, graph.shapes) for node in graph.nodes)


def _work_of(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Return the multiplications of a node: for products the terms summed,
    else ELEMENT per element touched."""
    inputs = [shapes[name] for name in node.input if name in shapes]
    written = sum(math.prod(shapes[name]) for name in node.output if name)
    read = sum(map(math.prod, inputs))
    if node.op_type in ("MatMul", "Gemm"):
        return written * max(max(inputs[0], default=1), 1)
    if node.op_type == "Conv":
        return written * math.prod(inputs[1][1:])
    if node.op_type == "Einsum":  # upper bound: every element with every other
        return math.prod(math.prod(shape) for shape in inputs)
    if node.op_type in ("LSTM", "GRU", "RNN"):  # all weights at every step of every row
        return math.prod(inputs[0][:2]) * sum(map(math.prod, inputs[1:3])) + written * ELEMENT
    return (read + written) * ELEMENT


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
