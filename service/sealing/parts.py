"""The parts of a row: tensors that are kept or zeroed together when another model takes over the
row.

The manifest lists them. A part's *meaning* is a digest of everything that determines its values:
two models with the same meaning compute the same bits from the same readings, so either can
continue the other's part. A part may *need* others, without which it is useless and is zeroed.
`CORE` follows from readings alone, needs nothing and includes the service's own prefix: a model
with another core cannot use the row at all.
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
    """Tensors of a row that share one meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: _Name
    tensors: tuple[str, ...] = Field(min_length=1)
    meaning: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
    needs: tuple[str, ...] = ()  # names of parts listed before it


def meaning_of(facts: Mapping[str, Any]) -> str:
    """Return the digest of everything that determines a part's values.

    `facts` must be JSON: strings, numbers, lists and dicts of them.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def check_parts(parts: Sequence[Part], tensors: Collection[str]) -> None:
    """Raise ValueError unless `parts` partition `tensors`,
    core first and each part after those it needs."""
    names = [part.name for part in parts]
    if names[0] != CORE or parts[0].needs:
        raise ValueError(f"the first part must be {CORE!r} and must not need others")
    if len(set(names)) != len(names):
        raise ValueError("two parts have the same name")
    for place, part in enumerate(parts):
        if unknown := set(part.needs).difference(names[:place]):
            raise ValueError(
                f"part {part.name} needs {sorted(unknown)}: no such part comes before it"
            )
    listed = [name for part in parts for name in part.tensors]
    if sorted(listed) != sorted(tensors):
        wrong = sorted(set(listed) ^ set(tensors)) or sorted(
            name for name in listed if listed.count(name) > 1
        )
        raise ValueError(
            "parts must name every state tensor exactly once: check "
            f"{', '.join(dict.fromkeys(wrong))}"
        )
