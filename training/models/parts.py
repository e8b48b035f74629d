"""The parts of a forecaster's state: tensors that are kept or zeroed together when another model
takes a row over.

Each part has facts, which the manifest turns into its meaning (`training/export/onnx_export.py`). A
fact too few lets a model continue from numbers that it misreads; a fact too many only costs a warm
start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from eddycast.training.models.anomaly import REVISION as ANOMALY_REVISION
from eddycast.training.models.anomaly import Anomaly
from eddycast.training.models.latent import Carried
from eddycast.training.models.memory.counter import Kind, initial_counter
from eddycast.training.models.memory.memory import REVISION as MEMORY_REVISION
from eddycast.training.models.memory.memory import SECOND_RATE, Memory, MemorySpec
from eddycast.training.models.memory.suspect_readings import REVISION as SUSPECTS_REVISION
from eddycast.training.models.memory.suspect_readings import Suspects
from eddycast.training.models.quantiles.calibration import REVISION as CALIBRATION_REVISION
from eddycast.training.models.quantiles.calibration import Calibration

CORE, SECOND, LATENT, CALIBRATION, ANOMALY = (
    "core",
    "second_season",
    "latent",
    "calibration",
    "anomaly",
)


@dataclass(frozen=True)
class StatePart:
    """`tensors` of the state; plain `facts` (numbers, strings, lists, dicts);
    names of the parts that it `needs`."""

    name: str
    tensors: tuple[str, ...]
    facts: dict[str, Any]
    needs: tuple[str, ...] = ()


def memory_facts(spec: MemorySpec) -> dict[str, Any]:
    """The facts of a memory except its second season, which is a part of its own."""
    facts = asdict(spec)
    del facts["second_steps"]
    return {"revision": MEMORY_REVISION, **facts}


def memory_parts(
    memory: Memory, kind: Kind, register: float | None = None, rule: Suspects | None = None
) -> list[StatePart]:
    """The parts that follow from readings alone: the core, including the state of a `rule` for
    suspects, and the table of the second season if there is one."""
    second = tuple(memory.second.initial_state(1)) if memory.second else ()
    core = [name for name in memory.initial_state(1) if name not in second]
    counter = initial_counter(1) if kind == "counter" else {}
    judged = rule.initial_state(1) if rule else {}
    counted = {"kind": kind} if register is None else {"kind": kind, "register": register}
    facts = {
        "memory": memory_facts(memory.spec),
        **counted,
        "suspects": SUSPECTS_REVISION if rule else 0,
    }
    parts = [StatePart(CORE, (*core, *counter, *judged), facts)]
    if second:
        parts.append(
            StatePart(
                SECOND, second, {"steps": memory.spec.second_steps, "rate": SECOND_RATE}, (CORE,)
            )
        )
    return parts


def latent_part(latent: Carried, facts: Mapping[str, Any], needs: Sequence[str]) -> StatePart:
    """The hidden state, which continues only under the same weights."""
    modules = [type(module).__name__ for module in latent.modules()]
    learned = {**facts, "modules": modules, "weights": digest(latent.weights())}
    return StatePart(LATENT, tuple(latent.initial_state(1)), learned, tuple(needs))


def calibration_part(calibration: Calibration | None, facts: Mapping[str, Any]) -> StatePart:
    """The calibration, and the pending forecasts."""
    if calibration is None:
        return StatePart(CALIBRATION, ("pending",), dict(facts), (CORE,))
    tensors = ("pending", *calibration.initial_state(1))
    learned = {**facts, "anchors": calibration.anchors, "calibration": CALIBRATION_REVISION}
    return StatePart(CALIBRATION, tensors, learned, (CORE,))


def anomaly_part(
    anomaly: Anomaly, calibration: Calibration | None, facts: Mapping[str, Any]
) -> StatePart:
    """The ranks of a stream's surprises; they depend on the family's one-step forecasts,
    whose widths the `calibration` has changed."""
    calibrated = CALIBRATION_REVISION if calibration else 0
    learned = {**facts, "calibration": calibrated, "anomaly": ANOMALY_REVISION}
    return StatePart(ANOMALY, tuple(anomaly.initial_state(1)), learned, (CORE,))


def digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over some tensors, their names, dtypes and shapes."""
    seen = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        seen.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        seen.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return seen.hexdigest()


def joined(parts: Mapping[str, Sequence[StatePart]]) -> list[StatePart]:
    """The parts of several states in one row, merged by name;
    the keys of `parts` are the prefixes of the tensors."""
    names = dict.fromkeys(part.name for own in parts.values() for part in own)
    return [_merged(name, parts) for name in names]


def _merged(name: str, parts: Mapping[str, Sequence[StatePart]]) -> StatePart:
    own = {prefix: part for prefix, state in parts.items() for part in state if part.name == name}
    tensors = tuple(f"{prefix}_{tensor}" for prefix, part in own.items() for tensor in part.tensors)
    needs = tuple(dict.fromkeys(need for part in own.values() for need in part.needs))
    return StatePart(name, tensors, {prefix: part.facts for prefix, part in own.items()}, needs)
