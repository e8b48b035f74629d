"""What each kind of fault does, and when the service has recovered from it.

Recovered: in every partition a record is committed that was written after the fault. The share of a frozen worker is
taken over while it sleeps; that is its recovery, and after it woke the group must come on once more.

    kill         SIGKILL of a worker at a random moment; another is started at once
    commit.1-7   a worker joins and kills itself right after this step of the commit
    assigned, restoring     the same, when it is given partitions, and while it restores their rows
    pause        SIGSTOP for longer than its session, then SIGCONT: it wakes with work left
    add          a worker joins
    remove       SIGTERM of a worker
    broker       SIGKILL of a broker, restarted after a moment
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from tests.chaos.fleet import Worker, await_true
from tests.chaos.scene import Scene
from tests.chaos.schedule import PLACES, Fault

_LEAST, _MOST = 2, 3  # workers
_STARTS_S = 30.0

Times = tuple[float, float]  # time.monotonic() of the fault, and of the recovery


def inject(scene: Scene, fault: Fault) -> Times:
    """Do it and wait until it is recovered from. Raises Stuck."""
    draw = random.Random(fault.seed)
    time.sleep(draw.uniform(0.0, 1.0))
    times = _armed(scene, draw, fault.kind) if fault.kind in PLACES else _ACTS[fault.kind](scene, draw)
    while len(scene.fleet.alive) < _LEAST:
        scene.fleet.start()
    return times


def _kill(scene: Scene, draw: random.Random) -> Times:
    victim = scene.fleet.choose(draw)
    began = _at_once(scene, victim, signal.SIGKILL)
    scene.fleet.start()
    return began, _recovered(scene)


def _armed(scene: Scene, draw: random.Random, place: str) -> Times:
    after = draw.randint(1, 20) if place.startswith("commit.") else 1
    victim = scene.fleet.start(FAULTS__KILL_AT=place, FAULTS__KILL_AFTER=str(after))
    await_true(lambda: victim.code is not None, _STARTS_S, f"{victim.name} never passed {place}, see {victim.log}")
    began = time.monotonic()
    if victim.code == -signal.SIGKILL:  # else it failed, which the fleet notes
        scene.fleet.remove(victim)
    return began, _recovered(scene)


def _pause(scene: Scene, draw: random.Random) -> Times:
    if len(scene.fleet.serving()) < _LEAST:
        _joined(scene)
    victim = scene.fleet.choose(draw)
    victim.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        recovered = _recovered(scene)
        time.sleep(max(0.0, began + draw.uniform(2.5, 4.0) - time.monotonic()))
    finally:
        victim.signal(signal.SIGCONT)
    _recovered(scene)
    return began, recovered


def _add(scene: Scene, draw: random.Random) -> Times:
    while len(scene.fleet.alive) >= _MOST:
        _end(scene, scene.fleet.choose(draw))
    began = _joined(scene)
    return began, _recovered(scene)


def _remove(scene: Scene, draw: random.Random) -> Times:
    victim = scene.fleet.choose(draw)
    began = _at_once(scene, victim, signal.SIGTERM)
    recovered = _recovered(scene)
    _ended(scene, victim)
    return began, recovered


def _broker(scene: Scene, draw: random.Random) -> Times:
    began = time.monotonic()
    scene.kafka.kill(draw.randrange(len(scene.kafka.log_files())))
    time.sleep(draw.uniform(0.0, 2.0))
    scene.kafka.restart()
    return began, _recovered(scene)


_ACTS: dict[str, Callable[[Scene, random.Random], Times]] = {
    "kill": _kill,
    "pause": _pause,
    "add": _add,
    "remove": _remove,
    "broker": _broker,
}


def _recovered(scene: Scene) -> float:
    """When something newer than now is committed everywhere."""
    ends = {partition: end + 1 for partition, end in scene.progress.ends().items()}
    return scene.progress.await_reached(ends, scene.fleet)


def _at_once(scene: Scene, victim: Worker, number: signal.Signals) -> float:
    scene.fleet.remove(victim)
    began = time.monotonic()
    victim.signal(number)
    if number == signal.SIGKILL:
        victim.wait(10.0)
    return began


def _joined(scene: Scene) -> float:
    """Start a worker; when it began to serve."""
    worker = scene.fleet.start()
    await_true(worker.holds, _STARTS_S, f"{worker.name} got nothing to serve, see {worker.log}")
    return time.monotonic()


def _end(scene: Scene, worker: Worker) -> None:
    _at_once(scene, worker, signal.SIGTERM)
    _ended(scene, worker)


def _ended(scene: Scene, worker: Worker) -> None:
    if worker.wait(20.0):
        scene.fleet.failed.append(f"{worker.name} ended with {worker.code} after SIGTERM:\n{worker.tail()}")
