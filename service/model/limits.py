"""What a graph may cost: its operators, the size of its tensors and the work of one call, found without running it.

Operators that are allowed run for a time that follows from the shapes of their inputs. With every shape known for the
largest batch, so are the memory and the work of a call, whatever values come.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from service.errors import BundleError
from service.model.shapes import Shape, Sized, UnknownShape, sized

#: Operators of which the built-in families are made; a test holds the list equal to what the exporter writes.
EMITTED = frozenset([
    "Abs", "Add", "And", "Cast", "Clip", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div", "Equal", "Exp",
    "Expand", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Greater", "GreaterOrEqual", "Identity",
    "IsNaN", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad",
    "Reciprocal", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Round", "Scan", "Shape", "Sigmoid",
    "Sin", "Slice",
    "Softplus", "Split", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
])  # fmt: skip
#: Further ones that a family of one's own is often made of. Their work follows from their shapes too.
PLAIN = frozenset([
    "Acos", "ArgMax", "ArgMin", "Asin", "Atan", "BatchNormalization", "CastLike", "Ceil", "Celu", "Constant",
    "Conv", "Cosh", "Einsum", "Elu", "Erf", "Flatten", "GRU", "Gelu", "GroupNormalization", "HardSigmoid",
    "HardSwish", "InstanceNormalization", "IsInf", "LSTM", "LayerNormalization", "LeakyRelu", "LogSoftmax", "Mean",
    "Mish", "PRelu", "Pow", "RNN", "Range", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax",
    "ReduceProd", "ReduceSumSquare", "ScatterElements", "ScatterND", "Selu", "Sign", "Sinh", "Size", "Softmax",
    "Softsign", "Sqrt", "Sum", "Tan", "Tile", "TopK", "Trilu", "Xor",
])  # fmt: skip
#: They end when their data says so, if at all: allowed only by name, and every call then has a time limit.
CONTROL_FLOW = frozenset(("If", "Loop"))

#: Nodes of a graph, bodies included.
MOST_NODES = 20_000
#: Bytes of one tensor in a call: this, or so many times the largest input or output of the contract.
LARGEST_TENSOR, TIMES_LARGEST = 1 << 28, 4
#: Bytes of all tensors of one call together, likewise.
ALL_TENSORS, TIMES_ALL = 1 << 32, 64
#: Multiplications of one call, or of all steps of golden.npz: seconds of one core. An element that is read or written
#: counts as so many, for it may be a sine.
MOST_WORK, ELEMENT = 1 << 35, 16
#: An element has at most so many bytes.
_WIDEST = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call of a graph."""

    work: int  # multiplications
    largest: int  # bytes of the largest tensor
    total: int  # bytes of all tensors


def check_operators(path: Path, nodes: Iterable[onnx.NodeProto], further: Collection[str] = ()) -> bool:
    """Whether the graph has control flow, which only `further` allows. Raises BundleError for an operator that is not
    allowed, and for too many nodes."""
    allowed = EMITTED | PLAIN | frozenset(further)
    flows = False
    for place, node in enumerate(nodes):
        if node.op_type not in allowed:
            raise BundleError(
                str(path),
                "operators of Eddycast's own families",
                f"operator {node.op_type!r}",
                f"if you trust this bundle, allow it: bundle.operators={node.op_type}",
            )
        if place == MOST_NODES:
            raise BundleError(str(path), f"at most {MOST_NODES:,} nodes", "more")
        flows = flows or node.op_type in CONTROL_FLOW
    return flows


def cost_of(path: Path, model: onnx.ModelProto, rows: int) -> Cost:
    """The cost of one call with `rows` rows. Raises BundleError where it does not follow from the shapes alone, or
    is beyond all limits."""
    try:
        graphs = list(sized(model, rows))
    except UnknownShape as unknown:
        raise BundleError(str(path), "shapes that follow from the graph alone", f"{unknown}, which decides") from None
    except Exception as error:  # onnx's own classes share no public base
        raise BundleError(str(path), "shapes that fit each other", _line(error)) from error
    ports = [math.prod(graphs[0].shapes[value.name]) * _WIDEST for value in (*model.graph.input, *model.graph.output)]
    sizes = [math.prod(shape) * _WIDEST for graph in graphs for shape in graph.shapes.values()]
    cost = Cost(sum(map(_work, graphs)), max(sizes), sum(sizes))
    for found, limit, what in (
        (cost.largest, max(LARGEST_TENSOR, TIMES_LARGEST * max(ports)), "bytes in a tensor"),
        (cost.total, max(ALL_TENSORS, TIMES_ALL * sum(ports)), "bytes in all tensors"),
        (cost.work, MOST_WORK, "multiplications"),
    ):
        if found > limit:
            raise BundleError(str(path), f"at most {limit:,} {what} in a call of {rows} rows", f"{found:,}")
    return cost


def _work(graph: Sized) -> int:
    return graph.times * sum(_work_of(node, graph.shapes) for node in graph.nodes)


def _work_of(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Elements read and written; for each element written of a product as many as are summed up for it."""
    inputs = [shapes[name] for name in node.input if name in shapes]
    written = sum(math.prod(shapes[name]) for name in node.output if name)
    read = sum(map(math.prod, inputs))
    if node.op_type in ("MatMul", "Gemm"):
        return written * max(max(inputs[0], default=1), 1)
    if node.op_type == "Conv":
        return written * math.prod(inputs[1][1:])
    if node.op_type == "Einsum":  # at most every element with every other
        return math.prod(math.prod(shape) for shape in inputs)
    if node.op_type in ("LSTM", "GRU", "RNN"):  # at every step of every row all weights
        return math.prod(inputs[0][:2]) * sum(map(math.prod, inputs[1:3])) + written * ELEMENT
    return (read + written) * ELEMENT


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
