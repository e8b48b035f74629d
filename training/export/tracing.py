"""A model's graph as torch traces it, with the weights of the moment.

Tracing takes most of the time of an export; a refit, or tonight's model of the same family, differs
from the model before in its weights alone. The last few traces are therefore kept, and a model of
the same architecture gets its weights put into a copy of one: the same bytes as from a trace of its
own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import onnx
import onnx_ir
import torch
from torch import Tensor, nn

#: Traces that are kept, of a few megabytes each.
KEPT = 16


@dataclass(frozen=True)
class Signature:
    """Names of a graph's tensors. The state is the last of its arguments."""

    inputs: Sequence[str]
    state: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class _Trace:
    module: nn.Module  # keeps its classes alive, whose addresses are part of the key
    program: torch.onnx.ONNXProgram
    model: onnx_ir.Model  # before constants are folded: its initializers are the weights by name


_lock = threading.Lock()
_traces: OrderedDict[str, _Trace] = OrderedDict()  # the last one used is the last


def graph_of(
    module: nn.Module, example: tuple[Tensor, ...], signature: Signature
) -> onnx.ModelProto:
    """The optimized ONNX graph of `module`, without metadata; the first axis of every tensor is the
    batch. Raises what torch raises for a module that it cannot trace."""
    with _quiet(), _lock:
        trace = _trace_of(module, example, signature)
        return _optimized(trace.program, _with_weights(trace.model, module))


def _trace_of(module: nn.Module, example: tuple[Tensor, ...], signature: Signature) -> _Trace:
    """A kept trace of this architecture, or a new one."""
    key = _architecture(module, example, signature)
    trace = _traces.pop(key, None) if key else None
    if trace is None:
        program = _traced(module, example, signature)
        trace = _Trace(module, program, program.model)
    if key:
        _traces[key] = trace
    if len(_traces) > KEPT:
        _traces.popitem(last=False)
    return trace


def _traced(
    module: nn.Module, example: tuple[Tensor, ...], signature: Signature
) -> torch.onnx.ONNXProgram:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    dynamic: Any = [{0: batch} for _ in signature.inputs]
    dynamic.append(tuple({0: batch} for _ in signature.state))
    program = torch.onnx.export(
        module,
        example,
        input_names=[*signature.inputs, *(f"state.{name}" for name in signature.state)],
        output_names=list(signature.outputs),
        dynamic_shapes=tuple(dynamic),
        dynamo=True,
        optimize=False,
        verbose=False,
        external_data=False,
    )
    if program is None:
        raise RuntimeError("torch exported no program")
    return program


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, also those that have several names."""
    return dict(
        [
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        ]
    )


def _architecture(
    module: nn.Module, example: tuple[Tensor, ...], signature: Signature
) -> str | None:
    """A key of everything that a trace depends on: the module without the values of its weights.
    None for a module that holds itself or an object without a value, like an open file."""
    places: dict[int, int] = {}
    for place, tensor in enumerate(_weights(module).values()):
        places.setdefault(id(tensor), place)
    try:
        return repr(_told((module, signature, example), places))
    except (_Unknown, RecursionError):  # a module may hold itself
        return None


def _told(thing: Any, weights: dict[int, int]) -> Any:
    """Describe `thing` in lists of numbers and text, and a weight by its place, type and shape.
    Raises _Unknown."""
    if isinstance(thing, Tensor):
        place = weights.get(id(thing))
        value = thing.tolist() if place is None else f"weight {place}"
        return str(thing.dtype), *thing.shape, value
    if thing is None or isinstance(thing, bool | int | float | str | bytes):
        return thing
    if isinstance(thing, type | types.FunctionType):
        return f"{thing} {id(thing)}"  # two files may define a class of the same name
    if isinstance(thing, nn.Module):
        return _told(type(thing), weights), _told(vars(thing), weights)
    if is_dataclass(thing):
        named = {field.name: getattr(thing, field.name) for field in fields(thing)}
        values = named | getattr(thing, "__dict__", {})
        return _told(type(thing), weights), _told(values, weights)
    if isinstance(thing, dict):
        return [_told(pair, weights) for pair in thing.items()]
    if isinstance(thing, list | tuple):
        return [_told(one, weights) for one in thing]
    if isinstance(thing, set | frozenset):
        return sorted(repr(_told(one, weights)) for one in thing)
    if isinstance(thing, weakref.ref):  # torch's recurrent layers hold their weights twice
        return _told(thing(), weights)
    raise _Unknown


class _Unknown(Exception):
    """A value that may decide how a module is traced, and is not known to be equal to another."""


def _with_weights(model: onnx_ir.Model, module: nn.Module) -> onnx_ir.Model:
    """A copy of a traced graph with the weights of `module`."""
    copy, weights = model.clone(), _weights(module)
    for name, value in copy.graph.initializers.items():
        if name in weights:
            value.const_value = onnx_ir.tensor(weights[name].detach().numpy(), name=name)
    return copy


def _optimized(program: torch.onnx.ONNXProgram, model: onnx_ir.Model) -> onnx.ModelProto:
    """Constants folded, and what is not needed left out."""
    program.model = model
    program.optimize()
    return _bare(program.model_proto)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's metadata: stack traces with local paths, which would change the hash
    of the same model from machine to machine."""
    graph = model.graph
    for noted in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines of the exporter; its failures are exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
