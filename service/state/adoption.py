"""Adoption: a model takes over rows that another model wrote.

Each partition of the changelog holds a *model record* (`model_record.py`). Its generation is the
number of the last change of model and only rises: the registry's number where the bundle comes from
a registry, otherwise a count of the changes in that partition. Three rules:

    R1  A partition is served under a generation that is not older than its marker's.
    R2  A part of a row is kept if and only if the row's generation is at least `since` of that
        part.
        All code that reads rows applies this rule, and nothing else decides what is kept.
    R3  No output is produced under a generation before its model record is committed in that
        partition.

Without a registry, starting a process with another bundle is a change of model. A model record
written before the process started is older than its bundle and is replaced; one written afterwards
is newer, so the process is behind and must not serve that partition. With a registry the numbers
decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eddycast.service.errors import StateError, WorkerBehind
from eddycast.service.sealing.parts import CORE
from eddycast.service.state.model_record import ModelRecord, Recorded, kept_parts, successor

Generations = NDArray[np.uint32]
_OWN_GROUP = "give this bundle a group and a changelog of its own"


@dataclass(frozen=True, slots=True)
class Adopted:
    """The model record under which a partition is served."""

    model: ModelRecord
    is_recorded: bool  # the changelog already holds this model record
    has_layout: bool  # the changelog already holds the record of its layout
    before: ModelRecord | None = None  # the record that it replaces

    @property
    def is_change(self) -> bool:
        """True if rows of an earlier model are taken over."""
        return self.before is not None

    @property
    def precedes_outputs(self) -> bool:
        """True if the model record must be committed before any output (R3). Without predecessors,
        which only generation 0 is known not to have, it may be part of the first commit."""
        return not self.is_recorded and self.model.generation > 0

    @property
    def summary(self) -> str:
        """The effect of a start on the rows, in one line for people."""
        if self.before is None:
            return (
                f"generation {self.model.generation}, of "
                f"{self.model.model}: rows are used as they are"
            )
        zeroed = f"{', '.join(self.zeroed)} from zeros" if self.zeroed else "all parts are kept"
        return (
            f"generation {self.before.generation}, of {self.before.model}: "
            f"{self.model.model} takes them over, {zeroed}"
        )

    @property
    def zeroed(self) -> list[str]:
        """The parts that start from zeros under this generation."""
        return [
            part.name
            for part in self.model.parts
            if self.is_change and part.since == self.model.generation
        ]


class MarkerLike(Protocol):
    """The fields of a marker (`changelog.Marker`) that adoption reads.

    `generation` is None for a marker of contract version 1, which has none.
    """

    @property
    def next_offset(self) -> int: ...
    @property
    def generation(self) -> int | None: ...


def lost_parts(
    model: ModelRecord, generations: Generations
) -> Iterator[tuple[list[str], NDArray[np.bool_]]]:
    """Apply R2 to rows last written under `generations` [n].

    Yields (tensor names, bool [n] mask of the rows that lose them) for each part that some rows
    lose.
    """
    for part in model.parts:
        old = generations < part.since
        if old.any():
            yield [spec.name for spec in part.tensors], old


def adopt_tensors(
    model: ModelRecord, generations: Generations, tensors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Copy `tensors` [n, ...] of rows last written under `generations` [n];
    parts not kept become zero."""
    found = dict(tensors)
    for names, rows in lost_parts(model, generations):
        for name in names:
            found[name] = found[name].copy()
            found[name][rows] = 0
    return found


class Adoption:
    """Decides whether, and under which model record, one bundle may serve a partition's rows."""

    def __init__(self, model: ModelRecord, declares_parts: bool) -> None:
        """Create the adoption of a bundle from its `initial_record`, whose generation is the number
        of a registry's change, or 0 without a registry.

        `declares_parts` is True if the bundle's manifest lists the parts of a row.
        """
        self.model, self._declares_parts = model, declares_parts

    def adopt(
        self, place: str, recorded: Recorded, served: MarkerLike | None, began: int | None = None
    ) -> Adopted:
        """Return the model record under which a partition is to be served.

        `place` names the partition in errors, `served` is its last marker (None if nothing was ever
        committed), and `began` the end offset of the changelog when this process started (None if
        it is starting now). Raises StateError if the bundle cannot interpret the rows, if the
        bundle is behind (R1; WorkerBehind if a registry can help), or if model record and marker
        disagree.
        """
        old, has_layout = recorded.model, self.model.layout in recorded.layouts
        _check_agreement(place, old, served)
        next_offset = served.next_offset if served else 0
        if old is None:
            if served is not None and self._declares_parts:
                raise _unknown_writer(place, self.model)
            first = self.model.model_copy(update={"offset": next_offset})
            return Adopted(first, is_recorded=False, has_layout=has_layout)
        if CORE not in kept_parts(old, self.model):
            raise other_meaning(place, old, self.model)
        number = self.model.generation
        if self._is_same(old) and old.generation >= number:
            return Adopted(old, is_recorded=True, has_layout=has_layout)
        if number and old.generation >= number:
            raise _ahead_of_registry(place, old, self.model)
        if not number and began is not None and recorded.at >= began:
            raise _behind(place, old, self.model)
        return Adopted(successor(old, self.model, next_offset), False, has_layout, before=old)

    def _is_same(self, old: ModelRecord) -> bool:
        """True if the bundle continues a recorded model as it is."""
        kept = kept_parts(old, self.model)
        return old.version == self.model.version and len(kept) == len(self.model.parts)


def check_grid(place: str, prefix: NDArray[np.void], model: ModelRecord) -> None:
    """Raise StateError if rows without a model record cannot lie on the model's grid.

    `prefix` is `records.ROW_PREFIX` [n]. The check is approximate: a row shows its interval only
    through its last slot and time stamp.
    """
    apart = np.abs(prefix["last_timestamp"] - prefix["last_slot"] * model.interval_ms)
    if (apart > 2 * model.interval_ms).any():
        row: Any = prefix[int(apart.argmax())]
        interval = int(row["last_timestamp"]) // max(abs(int(row["last_slot"])), 1)
        what = (
            f"{place}: rows have slots of about {interval:,} ms, "
            f"those of {model.model} have {model.interval_ms:,} ms"
        )
        raise StateError(what, f"serve the bundle that wrote them; or {_OWN_GROUP}")


def _check_agreement(place: str, model: ModelRecord | None, served: MarkerLike | None) -> None:
    recorded = None if model is None else model.generation
    marked = None if served is None else served.generation
    if recorded != marked:
        found = (
            "none" if number is None else f"generation {number}" for number in (recorded, marked)
        )
        what = f"{place}: model record and marker disagree: {' and '.join(found)}"
        raise StateError(
            what, "records were deleted: check that the changelog's cleanup.policy is compact alone"
        )


def other_meaning(place: str, old: ModelRecord, new: ModelRecord) -> StateError:
    """The error for rows whose core means something else to the bundle; names both models."""
    facts = ("interval_ms", "kind", "channels")
    differ = (
        ""
        if any(getattr(old, f) != getattr(new, f) for f in facts)
        else "; their core state is not known to be the same"
    )
    what = (
        f"{place}: rows were written by {old.description}, "
        f"which {new.description} cannot continue{differ}"
    )
    return StateError(what, f"serve {old.model} or a model with the same core; or {_OWN_GROUP}")


def _unknown_writer(place: str, new: ModelRecord) -> StateError:
    what = f"{place}: rows have no model record, so they are not known to be of {new.model}"
    return StateError(what, f"serve the bundle that wrote them; or {_OWN_GROUP}")


def _behind(place: str, old: ModelRecord, new: ModelRecord) -> StateError:
    what = f"{place}: {old.model} has taken over since this process started with {new.model}"
    return StateError(
        f"{what} (generation {old.generation})",
        f"restart this process with {old.model}, like the group",
    )


def _ahead_of_registry(place: str, old: ModelRecord, new: ModelRecord) -> StateError:
    what = (
        f"{place}: rows belong to {old.model} (generation {old.generation}), and this process "
        f"serves {new.model} (generation {new.generation})"
    )
    if old.generation > new.generation:
        action = (
            f"if the registry was restored from a backup: `eddycast models promote --above "
            f"{old.generation}`"
        )
        return WorkerBehind(what, action, old.generation)
    return StateError(
        f"{what}: another registry has numbered this change",
        f"promote the right model with --above {old.generation}",
    )
