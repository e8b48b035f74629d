"""Whatever is killed, refused, handed over or left unanswered, in whatever order: the committed
outputs and the rows are those of a run that nothing disturbed, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.faults import PLACES
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.faulty_broker import RECOVERABLE
from tests.support.running import AT_ONCE, memory_broker, send

MINUTE, STREAMS, PARTITIONS = 60_000, 9, 3
#: Streams fall silent for longer than this and come back, so that some are evicted.
OPTIONS = replace(AT_ONCE, state_ttl_ms=20 * MINUTE, late="dead_letter")

events = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(1, 12)),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(
            st.just("start"),
            st.sampled_from([None, *PLACES]),
            st.integers(1, 4),
            st.sampled_from([0.0, 1000.0]),
        ),
        st.tuples(st.just("kill"), st.integers(0, 3)),
        st.tuples(st.just("stop"), st.integers(0, 3)),
        st.tuples(st.just("expel"), st.integers(0, 3)),
        st.tuples(st.just("expire")),
        st.tuples(st.just("fail"), st.sampled_from(RECOVERABLE), st.integers(1, 4)),
    ),
    min_size=4,
    max_size=25,
)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def feed(fleet: Fleet, start: int, minutes: int) -> None:
    """Irregular, but the same for the same minutes:
    gaps, silences, late readings, records that are none."""
    sent: list[tuple[int, bytes, object]] = []
    for t in range(start, start + minutes):
        for s in range(STREAMS):
            if (t * 7 + s * 3) % 4 == 0 or (s % 3 == 0 and t // 25 % 2 == 1):
                continue
            late = 5 if (t + s) % 13 == 0 else 0
            value = {
                "timestamp": START_MS + (t - late) * MINUTE + s * 1000,
                "value": 10.0 * s + (t * 11 + s) % 17,
            }
            sent.append((s % PARTITIONS, b"stream-%d" % s, value))
        if t % 6 == 5:
            sent.append((t % PARTITIONS, b"bad", b"{"))
    with fleet.broker.faults.sleep():
        send(fleet.broker, sent)


@pytest.mark.parametrize(
    ("delivery", "aggregate"),
    [("exactly_once", "first"), ("at_least_once", "first"), ("exactly_once", "mean")],
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    events=events,
    poll=st.sampled_from([1000, 7]),
    steps=st.sampled_from([200_000, 5]),
    turn_s=st.sampled_from([300.0, 0.0]),
)
def test_any_disturbance_leaves_the_same_bits(
    recurrent: Runtime,
    delivery: str,
    aggregate: str,
    events: list[tuple[object, ...]],
    poll: int,
    steps: int,
    turn_s: float,
) -> None:
    cut = {"max_poll_records": poll, "max_steps": steps, "turn_s": turn_s}
    settled = replace(
        OPTIONS, aggregate=aggregate, hold_ms=None if aggregate == "first" else 3 * MINUTE
    )
    options = replace(settled, delivery=delivery, **cut)  # type: ignore[arg-type]
    fleet, fed = Fleet(memory_broker(PARTITIONS), recurrent, options), 0
    fleet.start()
    for event in events:
        match event:
            case ("feed", int(minutes)):
                feed(fleet, fed, minutes)
                fed += minutes
            case ("turn", int(times)):
                fleet.turn(times)
            case ("start", place, int(after), float(interval)) if len(fleet.alive) < 4:
                fleet.start(
                    None if place is None else str(place), after, commit_interval_s=interval
                )
            case ("fail", str(what), int(times)):
                fleet.broker.fail_next(what, times)
            case ("expire",):
                fleet.broker.expire()
            case (str(what), int(which)) if fleet.alive and what in ("kill", "stop", "expel"):
                disturb(fleet, what, which)
    for subject in list(fleet.alive):
        fleet.stop(subject)
    fleet.start()
    fleet.settle()

    reference = Fleet(memory_broker(PARTITIONS), recurrent, settled)
    reference.start()
    feed(reference, 0, fed)
    reference.settle()
    assert stored(fleet.broker) == stored(reference.broker)
    found, expected = outputs(fleet.broker), outputs(reference.broker)
    if delivery == "exactly_once":
        assert found == expected
    else:
        assert all(set(found[topic]) == set(expected[topic]) for topic in expected)


def disturb(fleet: Fleet, what: str, which: int) -> None:
    """Disturb one of the live workers."""
    victim = fleet.alive[which % len(fleet.alive)]
    if what == "kill":
        fleet.kill(victim)
    elif what == "stop":
        fleet.stop(victim)
    else:
        fleet.broker.expel(victim.pipeline._delivery.connections.consumer)  # type: ignore[arg-type]
