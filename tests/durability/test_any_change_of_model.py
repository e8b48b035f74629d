"""Whatever models follow each other on a group's rows, in whatever order, with crashes, silent
streams and workers that are behind: the rows in memory are those that rule 2 of docs/durability.md
gives, worked out here from the meanings alone; generations never fall; each reading is answered
once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.faults import PLACES
from tests.support.bundles import write_bundle
from tests.support.crashing import Fleet
from tests.support.faulty_broker import RECOVERABLE
from tests.support.histories import MODELS, PARTITIONS, STREAMS, Group
from tests.support.running import AT_ONCE, memory_broker

events = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(1, 3), st.integers(1, 2**STREAMS - 1)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(
            st.just("start"), st.sampled_from(sorted(MODELS)), st.sampled_from([None, *PLACES])
        ),
        st.tuples(st.just("replace"), st.sampled_from(sorted(MODELS))),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("stop"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.sampled_from(RECOVERABLE), st.integers(1, 3)),
    ),
    min_size=4,
    max_size=20,
)


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runtime]:
    root: Path = tmp_path_factory.mktemp("models")
    for name, walk in MODELS.items():
        write_bundle(root / name, walk)
    return {name: load_runtime(root / name) for name in MODELS}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=events)
def test_any_history_of_models_keeps_what_the_rule_says(
    runtimes: dict[str, Runtime], delivery: str, events: list[tuple[object, ...]]
) -> None:
    options = replace(AT_ONCE, delivery=delivery)  # type: ignore[arg-type]
    group = Group(Fleet(memory_broker(PARTITIONS), runtimes["A"], options), runtimes)
    fleet = group.fleet
    group.start("A")
    for event in events:
        group.happen(event)
        group.check()
    for subject in list(fleet.alive):
        fleet.kill(subject)
    group.start("B")
    for _ in range(300):
        group.turn()
        if fleet.is_done():
            break
    group.check()
    group.check_answers(delivery)
