"""Which model a partition's rows are of, and what of them another model keeps.

The changelog has a *model record* in each partition: the generation, the number of the last change of model there,
which only rises; the model's version; and each part of its rows with its meaning and with `since`, the first generation
of the unbroken run in which the part was kept. Three rules:

    R1  A partition is served under a generation that is not older than its marker's.
    R2  A part of a row is kept if and only if the row's generation is at least `since` of that part. Whoever reads rows
        applies it, and nothing else decides what is kept.
    R3  No output under a generation is produced before its model record is committed in that partition.

A start with another bundle is a change: what was recorded before this process began is older than its bundle, and what
was recorded after is newer, so that the process is behind and must not serve that partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.bundle import Manifest, TensorSpec
from service.errors import StateError
from service.sealing.parts import CORE

Generations = NDArray[np.uint32]
_OWN_GROUP = "give this bundle a group and a changelog of its own"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptPart(_Frozen):
    """A part of the rows, as a model record has it."""

    name: str
    tensors: tuple[TensorSpec, ...]
    meaning: str
    needs: tuple[str, ...] = ()
    since: int = 0


class ModelRecord(_Frozen):
    """What a partition's rows are of, from the input's `offset` on."""

    generation: int = 0
    version: str
    model: str  # its label, as in forecasts
    layout: str
    offset: int = 0
    interval_ms: int
    kind: Literal["gauge", "counter"]
    channels: tuple[str, ...]
    parts: tuple[KeptPart, ...]

    @property
    def words(self) -> str:
        """For a person: the model, and what its readings must be."""
        return f"{self.model} (interval {self.interval_ms:,} ms, {self.kind}, channels {', '.join(self.channels)})"

    def part(self, name: str) -> KeptPart | None:
        """The part of that name."""
        return next((part for part in self.parts if part.name == name), None)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a partition of the changelog has of models: the last record and the offset at which it stands, and the
    layouts that are described there."""

    model: ModelRecord | None = None
    at: int = -1
    layouts: frozenset[str] = frozenset()

    def then(self, later: Recorded) -> Recorded:
        """With what stands further on in the same partition."""
        first = self if later.model is None else later
        return Recorded(first.model, first.at, self.layouts | later.layouts)


@dataclass(frozen=True, slots=True)
class Adopted:
    """The record under which a partition is served, and whether the changelog has it and its layout already; the model
    that it takes the place of."""

    model: ModelRecord
    is_recorded: bool
    has_layout: bool
    before: ModelRecord | None = None

    @property
    def is_change(self) -> bool:
        """Whether rows of an earlier model are taken over: by R3 that is committed before anything else."""
        return self.before is not None

    @property
    def words(self) -> str:
        """What a start makes of the rows, for a person."""
        if self.before is None:
            return f"generation {self.model.generation}, of {self.model.model}: they go on as they are"
        zeroed = f"{', '.join(self.zeroed)} from zeros" if self.zeroed else "all parts are kept"
        return (
            f"generation {self.before.generation}, of {self.before.model}: {self.model.model} takes them over, {zeroed}"
        )

    @property
    def zeroed(self) -> list[str]:
        """The parts that start from zeros under this generation."""
        return [part.name for part in self.model.parts if self.is_change and part.since == self.model.generation]


class Served(Protocol):
    """What a marker says: the input's next offset, and under which generation; None = before there were any."""

    @property
    def next_offset(self) -> int: ...
    @property
    def generation(self) -> int | None: ...


def unserved(manifest: Manifest, layout: str) -> ModelRecord:
    """The record of a model that has served nothing yet; `layout` is that of its stored rows."""
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
        version=manifest.version,
        model=manifest.label,
        layout=layout,
        interval_ms=manifest.interval_ms,
        kind=manifest.kind,
        channels=manifest.channels,
        parts=parts,
    )


def kept(old: ModelRecord, new: ModelRecord) -> set[str]:
    """Names of the parts that `new` understands as `old` left them: equal in meaning and tensors, and so is all that
    they need."""
    names: set[str] = set()
    for part in new.parts:  # needs stand before those who need
        before = old.part(part.name)
        alike = before is not None and (before.meaning, before.tensors) == (part.meaning, part.tensors)
        if alike and names.issuperset(part.needs):
            names.add(part.name)
    return names


def succeed(old: ModelRecord, new: ModelRecord, offset: int) -> ModelRecord:
    """The record of `new` that takes the place of `old` from the input's `offset` on."""
    generation, same = old.generation + 1, kept(old, new)
    parts = tuple(
        part.model_copy(update={"since": before.since if part.name in same and before else generation})
        for part, before in ((part, old.part(part.name)) for part in new.parts)
    )
    return new.model_copy(update={"generation": generation, "offset": offset, "parts": parts})


def lost(model: ModelRecord, generations: Generations) -> Iterator[tuple[list[str], NDArray[np.bool_]]]:
    """R2 over rows last written under `generations` [n]: the tensors of each part that some of them lose, and which."""
    for part in model.parts:
        old = generations < part.since
        if old.any():
            yield [spec.name for spec in part.tensors], old


def adopt_tensors(
    model: ModelRecord, generations: Generations, tensors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Tensors [n, ...] of rows last written under `generations` [n], as `model` keeps them."""
    found = dict(tensors)
    for names, rows in lost(model, generations):
        for name in names:
            found[name] = found[name].copy()
            found[name][rows] = 0
    return found


class Adoption:
    """Decides for one bundle what it makes of the rows of a partition."""

    def __init__(self, model: ModelRecord, declares_parts: bool) -> None:
        """`model` is the bundle's `unserved` record; whether its manifest lists parts."""
        self.model, self._declares_parts = model, declares_parts

    def adopt(self, place: str, recorded: Recorded, served: Served | None, began: int | None = None) -> Adopted:
        """Under which record a partition (`place`, in words) is served whose last marker says `served`, None where
        nothing was ever committed. `began` is where the changelog ended when this process began, None = it begins now.

        Raises StateError for rows that mean something else, where the bundle is behind (R1), and where model record and
        marker do not agree.
        """
        old, has_layout = recorded.model, self.model.layout in recorded.layouts
        _check_agreement(place, old, served)
        next_offset = served.next_offset if served else 0
        if old is None:
            if served is not None and self._declares_parts:
                raise _unknown_writer(place, self.model)
            first = self.model.model_copy(update={"offset": next_offset})
            return Adopted(first, is_recorded=False, has_layout=has_layout)
        if CORE not in kept(old, self.model):
            raise other_meaning(place, old, self.model)
        if old.version == self.model.version and len(kept(old, self.model)) == len(self.model.parts):
            return Adopted(old, is_recorded=True, has_layout=True)
        if began is not None and recorded.at >= began:
            raise _behind(place, old, self.model)
        return Adopted(succeed(old, self.model, next_offset), False, has_layout, before=old)


def check_grid(place: str, prefix: NDArray[np.void], model: ModelRecord) -> None:
    """Raise StateError unless rows whose model was never recorded lie on the model's grid, as far as they show it."""
    apart = np.abs(prefix["last_timestamp"] - prefix["last_slot"] * model.interval_ms)
    if (apart > 2 * model.interval_ms).any():
        row: Any = prefix[int(apart.argmax())]
        interval = int(row["last_timestamp"]) // max(abs(int(row["last_slot"])), 1)
        what = (
            f"{place}: its rows have slots of about {interval:,} ms, those of {model.model} have {model.interval_ms:,}"
        )
        raise StateError(what, f"serve the bundle that wrote them; or {_OWN_GROUP}")


def _check_agreement(place: str, model: ModelRecord | None, served: Served | None) -> None:
    recorded = None if model is None else model.generation
    marked = None if served is None else served.generation
    if recorded != marked:
        said = ("none" if number is None else f"generation {number}" for number in (recorded, marked))
        what = f"{place}: model record and marker do not agree: {' and '.join(said)}"
        raise StateError(what, "records were deleted from it: is its cleanup.policy compact, and nothing else?")


def other_meaning(place: str, old: ModelRecord, new: ModelRecord) -> StateError:
    """Names both models, and what is known of the difference."""
    facts = ("interval_ms", "kind", "channels")
    differ = (
        ""
        if any(getattr(old, f) != getattr(new, f) for f in facts)
        else "; their memories are not known to be the same"
    )
    what = f"{place}: its rows were written by {old.words} and mean something else to {new.words}{differ}"
    return StateError(what, f"serve {old.model} or a model of the same core; or {_OWN_GROUP}")


def _unknown_writer(place: str, new: ModelRecord) -> StateError:
    what = f"{place}: its rows are of a model that earlier versions of Eddycast did not record, and not of {new.model}"
    return StateError(what, f"serve the bundle that wrote them; or {_OWN_GROUP}")


def _behind(place: str, old: ModelRecord, new: ModelRecord) -> StateError:
    what = f"{place}: {old.model} has taken it over since this process began with {new.model}"
    return StateError(f"{what} (generation {old.generation})", f"start it with {old.model}, as the rest of the group")
