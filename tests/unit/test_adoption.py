"""The rules of service/state/adoption.py: parts that another model keeps, and generations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eddycast.service.bundle import TensorSpec
from eddycast.service.errors import StateError, WorkerBehind
from eddycast.service.state.adoption import Adoption, adopt_tensors
from eddycast.service.state.changelog import Marker
from eddycast.service.state.model_record import (
    KeptPart,
    ModelRecord,
    Recorded,
    kept_parts,
    successor,
)
from eddycast.service.state.stream_time import Clock

LAYOUT = "0123456789abcdef"


def part(name: str, meaning: str, *needs: str, shape: int = 2) -> KeptPart:
    return KeptPart(
        name=name,
        tensors=(TensorSpec(name=name, dtype="float64", shape=(shape,)),),
        meaning=meaning,
        needs=needs,
    )


def model(version: str, *parts: KeptPart) -> ModelRecord:
    return ModelRecord(
        version=version * 64,
        model=f"m@{version * 6}",
        layout=LAYOUT,
        interval_ms=60_000,
        kind="gauge",
        channels=("value",),
        parts=parts,
    )


CORE, WEEK, LATENT = (
    part("core", "c"),
    part("week", "w", "core"),
    part("latent", "l", "core", "week"),
)
A = model("a", CORE, WEEK, LATENT)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ((CORE, WEEK, LATENT), {"core", "week", "latent"}),
        ((CORE, WEEK, part("latent", "m", "core", "week")), {"core", "week"}),
        ((CORE, part("week", "v", "core"), LATENT), {"core"}),
        ((CORE, LATENT.model_copy(update={"needs": ("core",)})), {"core", "latent"}),
        ((CORE, part("week", "w", "core", shape=3)), {"core"}),
        ((part("core", "d"), WEEK, LATENT), set()),
    ],
    ids=["all", "weights", "what it needs", "fewer parts", "another shape", "core"],
)
def test_a_part_is_kept_with_equal_meaning_and_shape_and_with_all_that_it_needs(
    parts: tuple[KeptPart, ...], names: set[str]
) -> None:
    assert kept_parts(A, model("b", *parts)) == names


def test_since_is_the_first_generation_of_an_unbroken_run() -> None:
    b = model("b", CORE, WEEK, part("latent", "m", "core", "week"))
    c = model("c", CORE, part("week", "v", "core"))
    history = [A]
    for following in (b, b.model_copy(update={"version": "x" * 64}), A, c, A):
        history.append(successor(history[-1], following, 7))
    since = [{p.name: p.since for p in record.parts} for record in history]
    assert [record.generation for record in history] == [0, 1, 2, 3, 4, 5]
    assert since == [
        {"core": 0, "week": 0, "latent": 0},
        {"core": 0, "week": 0, "latent": 1},
        {"core": 0, "week": 0, "latent": 1},
        {"core": 0, "week": 0, "latent": 3},
        {"core": 0, "week": 4},
        {"core": 0, "week": 5, "latent": 5},
    ]


def test_parts_of_rows_older_than_their_since_are_zeros() -> None:
    record = successor(A, model("b", CORE, WEEK, part("latent", "m", "core", "week")), 0)
    ones = {name: np.ones((3, 2)) for name in ("core", "week", "latent")}
    ones["core"].flags.writeable = False
    found = adopt_tensors(record, np.array([0, 1, 4], np.uint32), ones)
    assert found["latent"].any(1).tolist() == [False, True, True]
    assert found["core"].all() and found["week"].all() and ones["latent"].all(), (
        "what was given stays"
    )


MARKER = Marker(5, 1, Clock(9, 1), 0)


@pytest.mark.parametrize(
    ("recorded", "marker", "what"),
    [
        (Recorded(), MARKER, "none and generation 0"),
        (Recorded(A, 3), None, "generation 0 and none"),
        (Recorded(A, 3), replace(MARKER, generation=1), "generation 0 and generation 1"),
        (Recorded(A, 3), replace(MARKER, generation=None), "generation 0 and none"),
        (Recorded(), replace(MARKER, generation=None), "m@aaaaaa"),
        (Recorded(model("b", part("core", "d")), 3), MARKER, "m@bbbbbb .* m@aaaaaa"),
        (Recorded(model("b", CORE), 12), MARKER, r"m@bbbbbb .* m@aaaaaa \(generation 0\)"),
    ],
)
def test_partitions_that_a_model_must_not_serve_are_refused(
    recorded: Recorded, marker: Marker | None, what: str
) -> None:
    with pytest.raises(StateError, match=f"^partition 3: .*{what}") as caught:
        Adoption(A, declares_parts=True).adopt("partition 3", recorded, marker, began=12)
    assert caught.value.action


def numbered(record: ModelRecord, generation: int) -> ModelRecord:
    return record.model_copy(update={"generation": generation})


@pytest.mark.parametrize(("recorded", "number"), [(1, 2), (0, 1), (3, 7)])
def test_a_newer_number_of_the_registry_is_a_change_under_that_number(
    recorded: int, number: int
) -> None:
    for new, zeroed in ((model("b", CORE), ["week", "latent"]), (A, [])):
        old = numbered(new, recorded)
        adoption = Adoption(numbered(A, number), declares_parts=True)
        marker = replace(MARKER, generation=recorded)
        # written after this process started, which does not matter with a registry
        adopted = adoption.adopt("p", Recorded(old, 20), marker, began=12)
        assert adopted.is_change and adopted.precedes_outputs
        assert (adopted.model.generation, adopted.zeroed) == (number, zeroed)


def test_the_same_version_under_a_later_number_is_served_under_that_number() -> None:
    adoption = Adoption(numbered(A, 2), declares_parts=True)
    served = numbered(A, 4)
    adopted = adoption.adopt("p", Recorded(served, 20), replace(MARKER, generation=4))
    assert adopted.model == served and adopted.is_recorded and not adopted.precedes_outputs


def test_behind_the_recorded_number_a_worker_is_told_which_it_needs() -> None:
    adoption = Adoption(numbered(A, 2), declares_parts=True)
    later = Recorded(numbered(model("b", CORE), 4), 20)
    with pytest.raises(WorkerBehind, match=r"partition 3: .*generation 4.*generation 2") as caught:
        adoption.adopt("partition 3", later, replace(MARKER, generation=4))
    assert caught.value.generation == 4
    same = Recorded(numbered(model("b", CORE), 2), 20)
    with pytest.raises(StateError, match="another registry has numbered") as other:
        adoption.adopt("partition 3", same, replace(MARKER, generation=2))
    assert not isinstance(other.value, WorkerBehind)


def test_the_first_model_of_a_registry_is_recorded_before_any_output() -> None:
    adopted = Adoption(numbered(A, 3), declares_parts=True).adopt("p", Recorded(), None)
    assert adopted.precedes_outputs and not adopted.is_change and adopted.model.generation == 3
    assert not Adoption(A, declares_parts=True).adopt("p", Recorded(), None).precedes_outputs


def test_the_same_version_goes_on_whoever_recorded_it_and_another_is_a_change() -> None:
    adoption = Adoption(A, declares_parts=True)
    served = A.model_copy(update={"generation": 4})
    same = adoption.adopt(
        "p", Recorded(served, 20, frozenset({LAYOUT})), replace(MARKER, generation=4), began=12
    )
    assert same.model == served and same.is_recorded and not same.is_change
    other = adoption.adopt("p", Recorded(model("b", CORE), 11), MARKER, began=12)
    assert other.is_change and not other.is_recorded and not other.has_layout
    assert (other.model.generation, other.model.offset, other.zeroed) == (1, 5, ["week", "latent"])
    new = adoption.adopt("p", Recorded(), None)
    assert (new.model.generation, new.is_recorded, new.is_change) == (0, False, False)
