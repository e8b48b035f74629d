"""The parts of a row: tensors that are kept together, or zeroed together, when another model takes the row over.

The manifest lists them. A *meaning* is a digest of everything that moves a part: two models with the same meaning give
it the same bits for the same readings, so either may go on from what the other left. A part may *need* others: it says
nothing without them, and goes where they go. `CORE` follows from readings alone, needs nothing, and the service's own
prefix belongs to it: a model whose core means something else can make nothing of a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: The part that every row has.
CORE: Final = "core"
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Part(BaseModel):
    """Some of a row's tensors, and what they mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: _Name
    tensors: tuple[str, ...] = Field(min_length=1)
    meaning: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
    needs: tuple[str, ...] = ()  # names of parts that stand before it


def meaning_of(facts: Mapping[str, Any]) -> str:
    """The digest of what moves a part. `facts` must be plain: strings, numbers, lists and dicts of them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def check_parts(parts: Sequence[Part], tensors: Collection[str]) -> None:
    """Raise ValueError unless `parts` share out `tensors` among them, the core first, needs before those who need."""
    names = [part.name for part in parts]
    if names[0] != CORE or parts[0].needs:
        raise ValueError(f"the first part must be {CORE!r}, which needs no other")
    if len(set(names)) != len(names):
        raise ValueError("two parts have the same name")
    for place, part in enumerate(parts):
        if unknown := set(part.needs).difference(names[:place]):
            raise ValueError(f"part {part.name} needs {sorted(unknown)}, which no part before it is called")
    listed = [name for part in parts for name in part.tensors]
    if sorted(listed) != sorted(tensors):
        wrong = sorted(set(listed) ^ set(tensors)) or sorted(name for name in listed if listed.count(name) > 1)
        raise ValueError(f"parts must name every state tensor once: look at {', '.join(dict.fromkeys(wrong))}")
