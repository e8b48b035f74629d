"""Late readings that replace what was imputed: the row becomes that of readings in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.errors import SettingsError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.own_tensors import row_specs
from tests.support.bundles import RECURRENT, START_MS, write_bundle
from tests.support.crashing import Fleet, all_served, outputs, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.histories import MODELS
from tests.support.running import AT_ONCE, Worker, made, memory_broker, send, worker

MINUTE = 60_000
STEPS = 4
REPAIR = replace(AT_ONCE, late="repair", repair_steps=STEPS)
Reading = tuple[int, float | None]  # minute, value


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def feed(broker: FaultyBroker, readings: Sequence[Reading], stream: bytes = b"s") -> None:
    records = [{"timestamp": START_MS + at * MINUTE, "value": value} for at, value in readings]
    send(broker, [(0, stream, record) for record in records])


def value(minute: int) -> float:
    return (minute * 7) % 11 + 0.5


def at(*minutes: int) -> list[Reading]:
    return [(minute, value(minute)) for minute in minutes]


class Served(NamedTuple):
    verdicts: tuple[int, ...]  # repaired, late, set back
    last: bytes | None  # forecast


def served(runtime: Runtime, readings: Sequence[Reading], **options: object) -> Served:
    broker = memory_broker()
    feed(broker, readings)
    subject = worker(broker, runtime, replace(REPAIR, **options))  # type: ignore[arg-type]
    subject.turn()
    return Served(verdicts(subject), made(broker)[-1].value)


def verdicts(subject: Worker) -> tuple[int, ...]:
    names = ("repaired", "late", "set_back")
    return tuple(int(subject.value("readings_total", verdict=name)) for name in names)


BEFORE = tuple(range(6))


@pytest.mark.parametrize(
    ("came", "repaired"),
    [
        ((7, 6, 8), 1),
        ((7, 8, 6, 9), 1),
        ((9, 6, 7, 8, 10), 3),  # a buffer that is sent late, and not a clock that was set back
        ((9, 8, 7, 6, 10), 3),
        ((7, 9, 8, 6, 10), 2),  # two gaps under one anchor
        ((7, 8, 9, 10, 6, 11), 1),  # as late as may be
        ((7, 6, 9, 8, 11, 10, 13, 12, 14), 4),
    ],
)
def test_the_next_forecast_is_that_of_readings_in_order(
    recurrent: Runtime, came: tuple[int, ...], repaired: int
) -> None:
    found = served(recurrent, at(*BEFORE, *came))
    assert found.verdicts == (repaired, 0, 0)
    ordered = served(recurrent, at(*BEFORE, *sorted(came)))
    assert ordered.verdicts == (0, 0, 0) and found.last == ordered.last
    dropped = served(recurrent, at(*BEFORE, *came), late="drop", repair_steps=0)
    assert dropped.last != ordered.last


@pytest.mark.parametrize(
    ("came", "late"),
    [
        ((7, 8, 9, 10, 11, 6, 12), 1),  # a step too late
        ((7, 8, 7, 9), 1),  # its step has a reading
        ((7, 6, 8, 6, 9), 1),  # it has been repaired
        ((13, 12, 14), 1),  # the gap is longer than the window
        ((5, 4, 3, 6), 2),  # there was no gap
    ],
)
def test_other_late_readings_are_dropped(
    recurrent: Runtime, came: tuple[int, ...], late: int
) -> None:
    assert served(recurrent, at(*BEFORE, *came)).verdicts[1] == late


def test_a_missing_reading_repairs_nothing(recurrent: Runtime) -> None:
    found = served(recurrent, [*at(*BEFORE, 7), (6, None), *at(8)])
    assert found.verdicts == (0, 1, 0)
    assert found.last == served(recurrent, at(*BEFORE, 7, 8)).last


def test_after_a_clock_was_set_back_nothing_old_is_repaired(recurrent: Runtime) -> None:
    came = at(*BEFORE, 7, 2, 3, 4, 5, 6, 7, 8)
    found = served(recurrent, came)
    assert found.verdicts == (0, 2, 1)
    assert found.last == served(recurrent, came, late="drop", repair_steps=0).last


def test_a_gap_after_a_clock_was_set_back_is_repaired(recurrent: Runtime) -> None:
    found = served(recurrent, at(*BEFORE, 7, 1, 2, 3, 5, 4, 6))
    assert found.verdicts == (1, 2, 1)
    assert found.last == served(recurrent, at(*BEFORE, 7, 1, 2, 3, 4, 5, 6)).last


disordered = st.lists(
    st.tuples(st.integers(0, 40), st.integers(-6, 2), st.integers(0, 2)), max_size=60
).map(lambda found: [(max(0, t + off), stream) for t, off, stream in sorted(found)])


@settings(max_examples=40, deadline=None)
@given(
    sent=disordered,
    polls=st.lists(st.sampled_from([1, 2, 5, 100]), min_size=1, max_size=4),
)
def test_the_bits_do_not_depend_on_the_cut_of_polls(
    recurrent: Runtime, sent: list[tuple[int, int]], polls: list[int]
) -> None:
    def written(polls: list[int]) -> tuple[object, ...]:
        broker = memory_broker()
        for minute, stream in sent:
            feed(broker, at(minute), b"stream-%d" % stream)
        subject = worker(broker, recurrent, REPAIR)
        return (*all_served(broker, subject, polls), verdicts(subject))

    assert written(polls) == written([1000])


@pytest.mark.parametrize("place", ["commit.3", "commit.5", "restoring"])
def test_an_anchor_survives_a_crash(recurrent: Runtime, place: str) -> None:
    def written(place: str | None) -> tuple[object, object]:
        fleet = Fleet(memory_broker(), recurrent, REPAIR)
        fleet.start()
        for minute in (*BEFORE, 7, 8, 6, 11, 10, 9, 12):
            feed(fleet.broker, at(minute))
            if place is not None:
                fleet.start(place)
            fleet.turn()
            if place is not None and minute % 2 and fleet.alive:
                fleet.kill(fleet.alive[0])
        fleet.settle()
        return outputs(fleet.broker), stored(fleet.broker)

    assert written(place) == written(None)


def test_another_model_drops_the_anchors_of_the_one_before(tmp_path: Path) -> None:
    """Also if the first one comes back."""
    runtimes = {}
    for name in ("A", "B"):
        write_bundle(tmp_path / name, MODELS[name])
        runtimes[name] = load_runtime(tmp_path / name)
    broker = memory_broker()
    fleet = Fleet(broker, runtimes["A"], REPAIR)
    late = []
    for name, came in (("A", (*BEFORE, 7)), ("B", (6, 8)), ("A", (6, 9, 11, 10, 12))):
        fleet.runtime = runtimes[name]
        subject = fleet.start()
        feed(broker, at(*came))
        fleet.settle()
        late.append(verdicts(subject))
        fleet.stop(subject)
    assert late == [(0, 0, 0), (0, 1, 0), (1, 1, 0)]


def test_rows_of_a_service_that_repairs_nothing_are_those_of_the_model(recurrent: Runtime) -> None:
    assert row_specs(recurrent.manifest, TimeSettings()) == recurrent.manifest.state
    specs = row_specs(recurrent.manifest, TimeSettings(late="repair", repair_steps=STEPS))
    assert len(specs) == 2 * len(recurrent.manifest.state) + 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--time.late=repair"], "belong together"),
        (["--time.repair_steps=3"], "belong together"),
        (["--time.late=repair", "--time.repair_steps=3", "--time.aggregate=mean"], "as they come"),
        (["--time.late=repair", "--time.repair_steps=3", "--time.hold_s=600"], "as they come"),
    ],
)
def test_settings_that_do_not_fit_together(flags: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(flags, {})
