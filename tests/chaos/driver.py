"""Runs: a schedule of faults over a fed group, the same input through one undisturbed worker,
and what differs."""

from __future__ import annotations

import re
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.champions import Champions, undated
from tests.chaos.checker import Difference, compare, compare_rows, read
from tests.chaos.faults import inject
from tests.chaos.feed import Feed
from tests.chaos.fleet import HURRIED, WHOLE, Build, Fleet, Stuck, await_true
from tests.chaos.proxy import Site
from tests.chaos.scene import Progress, Scene, Topics, patient
from tests.chaos.schedule import Fault
from tests.chaos.shapes import PLAIN, Shape

#: A difference belongs to the fault before it, and a record sent so shortly before a fault was on
#: its way then, s.
_ON_THE_WAY_S = 1.0
_STAMP = re.compile(rb'"timestamp":(\d+)')


Beside = Callable[[Mapping[str, str], Path], AbstractContextManager[object]]


def _nobody(_settings: Mapping[str, str], _logs: Path) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fault that was recovered from."""

    fault: Fault
    began: float  # time.monotonic()
    recovered: float


@dataclass
class Result:
    """One run."""

    partitions: int
    logs: Path
    outcomes: list[Outcome] = field(default_factory=list)
    records: int = 0
    #: Differences from the reference run, each with the fault that it follows (None: before the
    #: first).
    differences: list[tuple[Difference, Fault | None]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # workers that ended by themselves
    stuck: str | None = None  # what did not happen, and during which fault


def run(
    site: Site,
    faults: Iterable[Fault],
    seed: int,
    partitions: int = 4,
    replication: int = 1,
    build: Build = WHOLE,
    say: Callable[[str], None] = print,
    beside: Beside | None = None,
    shape: Shape = PLAIN,
) -> Result:
    """Disturb a group by `faults`, let it finish, and compare. `build` is what the disturbed
    workers run; `beside` adds a member to the group that no fault is aimed at, by its settings and
    the folder for its log; `shape` is that of the records."""
    servers, name = site.servers, uuid.uuid4().hex[:6]
    disturbed, undisturbed = (
        Topics(f"input-{name}", f"chaos-{name}"),
        Topics(f"input-{name}", f"calm-{name}"),
    )
    result = Result(partitions, Path(tempfile.mkdtemp(prefix="eddycast-chaos-")))
    champions = Champions(result.logs)
    admin = patient(servers).admin()
    admin.create_topic(disturbed.input, partitions, replication)
    admin.close()
    for topics in (disturbed, undisturbed):
        topics.create(servers, partitions, replication)
    watched = Progress(servers, disturbed, partitions)  # of its own: clients are not thread-safe
    streams = max(24, 2 * partitions)
    feed = Feed(servers, disturbed.input, seed, partitions, streams, shape, watched.behind)
    settings = disturbed.settings(site.for_workers, champions.bundle) | HURRIED
    settings |= {**champions.settings, **shape.settings}
    progress = Progress(servers, disturbed, partitions)
    with Fleet(settings, result.logs, build) as fleet, (beside or _nobody)(settings, result.logs):
        result.failed = fleet.failed
        try:
            scene = Scene(site, disturbed, fleet, progress, champions, shape)
            _disturb(scene, feed, faults, result, say)
        except Stuck as error:
            result.stuck = str(error)
            return result
        finally:
            progress.close()
            watched.close()
    _follow(servers, undisturbed, result, shape)
    result.records = feed.records
    found = _differences(servers, disturbed, undisturbed, build.may_repeat, champions)
    result.differences = [
        (difference, _blamed(difference, feed, result.outcomes)) for difference in found
    ]
    return result


def _disturb(
    scene: Scene, feed: Feed, faults: Iterable[Fault], result: Result, say: Callable[[str], None]
) -> None:
    """Inject each fault in turn, then wait until everything sent is committed. Raises Stuck."""
    fleet = scene.fleet
    feed.start()
    try:
        fleet.start()
        fleet.start()
        await_true(
            lambda: len(fleet.serving()) == 2, 120.0, f"the workers do not serve, see {result.logs}"
        )
        for fault in faults:
            try:
                began, recovered = inject(scene, fault)
            except Stuck as error:
                raise Stuck(f"fault {fault.number + 1} ({fault.kind}): {error}") from error
            result.outcomes.append(Outcome(fault, began, recovered))
            say(f"{fault.number + 1:4} {fault.kind:12} recovered in {recovered - began:6.2f} s")
    finally:
        feed.stop()
    scene.progress.await_reached(scene.progress.ends(), fleet)
    fleet.stop()


def _follow(servers: str, topics: Topics, result: Result, shape: Shape) -> None:
    """The reference run: a single worker with the default time-outs."""
    progress = Progress(servers, topics, result.partitions)
    logs = result.logs / "calm"
    logs.mkdir()
    settings = {**topics.settings(servers, result.logs / "bundle"), **shape.settings}
    with Fleet(settings, logs) as fleet:
        worker = fleet.start()
        progress.await_reached(progress.ends(), fleet)
        worker.signal(signal.SIGTERM)
        if worker.wait(120.0) or fleet.failed:
            raise RuntimeError(f"the reference run failed:\n{worker.tail()}\n{fleet.failed}")
        fleet.remove(worker)
    progress.close()


def _differences(
    servers: str, disturbed: Topics, undisturbed: Topics, may_repeat: bool, champions: Champions
) -> list[Difference]:
    """Differences between two runs in both output topics and in the rows."""
    found: list[Difference] = []
    for name in ("output", "dead_letters"):
        expected = read(servers, getattr(undisturbed, name))
        if not expected:
            raise RuntimeError(
                f"the reference run wrote nothing to {name}: nothing would be compared"
            )
        records = champions.unsigned(read(servers, getattr(disturbed, name)))
        found += compare(expected, records, may_repeat)
    return found + compare_rows(
        undated(read(servers, undisturbed.changelog)), undated(read(servers, disturbed.changelog))
    )


def _blamed(difference: Difference, feed: Feed, outcomes: Sequence[Outcome]) -> Fault | None:
    """The last fault before the record was done;
    None for a row, which only a run as a whole has got wrong."""
    stamp = _STAMP.search(difference.record.value or b"")
    if stamp is None or difference.kind == "row":
        return None
    done = feed.sent_at(int(stamp[1])) + _ON_THE_WAY_S
    return next((outcome.fault for outcome in reversed(outcomes) if outcome.began <= done), None)
