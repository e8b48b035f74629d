"""Model records: which model the rows of a changelog partition belong to.

A record holds the generation, the model's version, and each part of its rows with its meaning and
with `since`, the first generation of the unbroken run in which that part was kept (`adoption.py`
has the rules).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from eddycast.service.bundle import Manifest, TensorSpec


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptPart(_Frozen):
    """One part of a row in a model record: its tensors, its meaning and since when it was kept."""

    name: str
    tensors: tuple[TensorSpec, ...]
    meaning: str
    needs: tuple[str, ...] = ()
    since: int = 0


class ModelRecord(_Frozen):
    """The model that a partition's rows belong to, from the input's `offset` on."""

    generation: int = 0  # number of a registry's change, or else a count of the partition's changes
    version: str
    model: str  # its label, as in forecasts
    layout: str
    offset: int = 0
    interval_ms: int
    kind: Literal["gauge", "counter"]
    channels: tuple[str, ...]
    parts: tuple[KeptPart, ...]

    @property
    def description(self) -> str:
        """The model and the readings that it takes, for error texts."""
        return (
            f"{self.model} (interval {self.interval_ms:,} ms, "
            f"{self.kind}, channels {', '.join(self.channels)})"
        )

    def part(self, name: str) -> KeptPart | None:
        """Return the part called `name`, or None."""
        return next((part for part in self.parts if part.name == name), None)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The model record and the layout records found so far in a changelog partition."""

    model: ModelRecord | None = None  # the last one
    at: int = -1  # its offset
    layouts: frozenset[str] = frozenset()  # ids of all layouts described

    def then(self, later: Recorded) -> Recorded:
        """Merge with records found further on in the same partition."""
        first = self if later.model is None else later
        return Recorded(first.model, first.at, self.layouts | later.layouts)


def initial_record(manifest: Manifest, layout: str, generation: int = 0) -> ModelRecord:
    """Return the record of a model that has served nothing yet; `layout` is the id of its row
    layout, `generation` the number of a registry's change, or 0."""
    specs = {spec.name: spec for spec in manifest.state}
    parts = tuple(
        KeptPart(
            name=part.name,
            tensors=tuple(specs[name] for name in part.tensors),
            meaning=part.meaning,
            needs=part.needs,
        )
        for part in manifest.row_parts
    )
    return ModelRecord(
        generation=generation,
        version=manifest.version,
        model=manifest.label,
        layout=layout,
        interval_ms=manifest.interval_ms,
        kind=manifest.kind,
        channels=manifest.channels,
        parts=parts,
    )


def kept_parts(old: ModelRecord, new: ModelRecord) -> set[str]:
    """Return the names of the parts that `new` can continue from rows of `old`.

    Such a part has the same meaning and tensors in both, and so has every part that it needs.
    """
    names: set[str] = set()
    for part in new.parts:  # a part comes after those that it needs
        before = old.part(part.name)
        alike = before is not None and (before.meaning, before.tensors) == (
            part.meaning,
            part.tensors,
        )
        if alike and names.issuperset(part.needs):
            names.add(part.name)
    return names


def successor(old: ModelRecord, new: ModelRecord, offset: int) -> ModelRecord:
    """Return the record with which `new` replaces `old` from the input's `offset` on, under the
    generation of `new`, or, if that is 0, the one after `old`'s."""
    generation, same = new.generation or old.generation + 1, kept_parts(old, new)
    parts = tuple(
        part.model_copy(
            update={"since": before.since if part.name in same and before else generation}
        )
        for part, before in ((part, old.part(part.name)) for part in new.parts)
    )
    return new.model_copy(update={"generation": generation, "offset": offset, "parts": parts})
