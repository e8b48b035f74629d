"""The kinds of faults, and the wait until the service has recovered from one.

The service has recovered once in every partition a record is committed that was written after the
fault. The share of a frozen worker is taken over while it sleeps; that is its recovery, and after
it woke the group must make progress once more.

    kill         SIGKILL of a worker at a random moment; another is started at once
    commit.1-7   a worker joins and kills itself right after this step of the commit
    assigned, restoring, reading    the same, when it is given partitions,
                                    before it restores their rows, and within
    revoked      the same, when others join and partitions are to be handed over,
                 before anything is committed
    lost         the same, when it wakes from a pause and is told that its partitions are another's
    rolled_back  the same, when its transaction was fenced and it has taken back what it could not
                 commit
    promote, rollback    another champion while records flow: all workers switch
    switch.2, switch.3   the same, and a worker kills itself right after this step of the switch
    pause        SIGSTOP for longer than its session, then SIGCONT:
                 it wakes with work left and has to learn of its loss
    freeze       a worker joins and stops itself while it reads rows back,
                 until others have served its partitions
    add          a worker joins
    remove       SIGTERM of a worker
    broker       SIGKILL of the only broker, restarted after a moment; counted from when it is back
    leader       SIGKILL of one node of a cluster;
                 it comes back once the others have taken over what it led
    fence        another producer takes a worker's transactional id in the middle of a transaction
    stall        the network to a node, or to all, passes nothing, for a moment or for longer than a
                 session; counted from when it does again
    cut          every connection of the workers to a node, or to all, ends
    garbage, gaps, packed, year_9999    records that no sensor should send (`floods.py`)

A run draws from the kinds that `schedule.py` lists for its cluster.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import Stuck, Worker, await_true
from tests.chaos.floods import FLOODS
from tests.chaos.proxy import Proxy
from tests.chaos.scene import Scene
from tests.chaos.schedule import PLACES, Fault

_LEAST, _MOST = 2, 3  # workers
_STARTS_S = 60.0

Times = tuple[float, float]  # time.monotonic() of the fault, and of the recovery


def inject(scene: Scene, fault: Fault) -> Times:
    """Do it and wait until it is recovered from. Raises Stuck."""
    draw = random.Random(fault.seed)
    time.sleep(draw.uniform(0.0, 1.0))
    if fault.kind in PLACES:
        times = _armed(scene, draw, fault.kind)
    elif fault.kind in FLOODS:
        times = _flooded(scene, draw, fault.kind)
    else:
        times = _ACTS[fault.kind](scene, draw)
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
    return _dead(victim), _recovered(scene)


def _revoked(scene: Scene, draw: random.Random) -> Times:
    """The victim begins with all partitions, or with half of them if a worker outside of the fleet
    has the others, and so hands some over when two more join."""
    while scene.fleet.alive:
        _end(scene, scene.fleet.choose(draw))
    victim = _joined(scene, FAULTS__KILL_AT="revoked")
    for _ in range(2):
        scene.fleet.start()
    return _dead(victim), _recovered(scene)


def _lost(scene: Scene, draw: random.Random) -> Times:
    victim = _joined(scene, FAULTS__KILL_AT="lost")
    victim.signal(signal.SIGSTOP)
    time.sleep(draw.uniform(2.5, 4.0))
    victim.signal(signal.SIGCONT)
    return _dead(victim), _recovered(scene)


def _rolled_back(scene: Scene, draw: random.Random) -> Times:
    """A static member, because its transactional id is known.
    It takes that with its first transaction."""
    name = f"doomed-{draw.randrange(1 << 32)}"
    victim = _joined(scene, FAULTS__KILL_AT="rolled_back", KAFKA__INSTANCE_ID=name)
    time.sleep(draw.uniform(0.5, 1.0))
    KafkaBroker(KafkaSettings(bootstrap_servers=scene.site.servers)).producer(
        f"eddycast-{scene.topics.group}-{name}"
    ).close(1.0)
    return _dead(victim), _recovered(scene)


def _promote(scene: Scene, draw: random.Random) -> Times:
    return _switched(scene, scene.champions.promote)


def _roll_back(scene: Scene, draw: random.Random) -> Times:
    return _switched(scene, scene.champions.roll_back)


def _switched(scene: Scene, change: Callable[[], int]) -> Times:
    """Recovered once all workers have switched, and a record after that is committed."""
    workers, began, number = scene.fleet.serving(), time.monotonic(), change()
    await_true(
        lambda: all(w.code is not None or w.generation() >= number for w in workers),
        _STARTS_S,
        f"not all workers have switched to change {number}",
    )
    return began, _recovered(scene)


def _switching(scene: Scene, place: str) -> Times:
    victim = _joined(scene, FAULTS__KILL_AT=place)
    scene.champions.promote()
    return _dead(victim), _recovered(scene)


def _pause(scene: Scene, draw: random.Random) -> Times:
    if len(scene.fleet.serving()) < _LEAST:
        _joined(scene)
    victim = scene.fleet.choose(draw)
    losses = victim.losses()
    victim.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        recovered = _recovered(scene)
        time.sleep(max(0.0, began + draw.uniform(2.5, 4.0) - time.monotonic()))
    finally:
        victim.signal(signal.SIGCONT)
    _learns_of_its_loss(victim, losses)
    _recovered(scene)
    return began, recovered


def _freeze(scene: Scene, draw: random.Random) -> Times:
    while len(scene.fleet.alive) >= _MOST:
        _end(scene, scene.fleet.choose(draw))
    victim = scene.fleet.start(FAULTS__KILL_AT="reading", FAULTS__FREEZE="true")
    await_true(
        lambda: victim.is_frozen or victim.code is not None,
        _STARTS_S,
        f"{victim.name} restores nothing",
    )
    began = time.monotonic()
    try:
        recovered = _recovered(scene)
        time.sleep(draw.uniform(0.0, 1.5))
    finally:
        victim.signal(signal.SIGCONT)
    _learns_of_its_loss(victim, losses=0)
    _recovered(scene)
    return began, recovered


def _add(scene: Scene, draw: random.Random) -> Times:
    while len(scene.fleet.alive) >= _MOST:
        _end(scene, scene.fleet.choose(draw))
    _joined(scene)
    return time.monotonic(), _recovered(scene)


def _remove(scene: Scene, draw: random.Random) -> Times:
    victim = scene.fleet.choose(draw)
    began = _at_once(scene, victim, signal.SIGTERM)
    recovered = _recovered(scene)
    _ended(scene, victim)
    return began, recovered


def _broker(scene: Scene, draw: random.Random) -> Times:
    scene.site.kafka.kill()
    time.sleep(draw.uniform(0.0, 2.0))
    scene.site.kafka.restart()
    return time.monotonic(), _recovered(scene)


def _leader(scene: Scene, draw: random.Random) -> Times:
    """Kill and restart one node; each leads some of the partitions."""
    began = time.monotonic()
    scene.site.kafka.kill(draw.randrange(len(scene.site.kafka.log_files())))
    recovered = _recovered(scene)
    scene.site.kafka.restart()
    _recovered(scene)
    return began, recovered


def _fence(scene: Scene, draw: random.Random) -> Times:
    deadline = time.monotonic() + _STARTS_S
    while not (owners := scene.progress.open_transactions()):
        if time.monotonic() > deadline:
            raise Stuck("no worker opens a transaction")
    began = time.monotonic()
    KafkaBroker(KafkaSettings(bootstrap_servers=scene.site.servers)).producer(
        draw.choice(owners)
    ).close(1.0)
    return began, _recovered(scene)


def _stall(scene: Scene, draw: random.Random) -> Times:
    with ExitStack() as stack:
        for proxy in _ways(scene, draw):
            stack.enter_context(proxy.stalled())
        time.sleep(draw.choice((0.3, 1.0, 2.0, 3.5)))
    return time.monotonic(), _recovered(scene)


def _flooded(scene: Scene, draw: random.Random, kind: str) -> Times:
    began, partition = time.monotonic(), draw.choice(sorted(scene.progress.ends()))
    FLOODS[kind](scene.site.servers, scene.topics.input, partition, draw, scene.shape)
    return began, _recovered(scene)


def _cut(scene: Scene, draw: random.Random) -> Times:
    for proxy in _ways(scene, draw):
        proxy.cut()
    return time.monotonic(), _recovered(scene)


_ACTS: dict[str, Callable[[Scene, random.Random], Times]] = {
    "kill": _kill,
    "pause": _pause,
    "freeze": _freeze,
    "add": _add,
    "remove": _remove,
    "broker": _broker,
    "leader": _leader,
    "revoked": _revoked,
    "lost": _lost,
    "rolled_back": _rolled_back,
    "promote": _promote,
    "rollback": _roll_back,
    "switch.2": lambda scene, _: _switching(scene, "switch.2"),
    "switch.3": lambda scene, _: _switching(scene, "switch.3"),
    "fence": _fence,
    "stall": _stall,
    "cut": _cut,
}


def _recovered(scene: Scene) -> float:
    """Time at which each partition has committed something newer than this call."""
    ends = {partition: end + 1 for partition, end in scene.progress.ends().items()}
    return scene.progress.await_reached(ends, scene.fleet)


def _at_once(scene: Scene, victim: Worker, number: signal.Signals) -> float:
    scene.fleet.remove(victim)
    began = time.monotonic()
    victim.signal(number)
    if number == signal.SIGKILL:
        victim.wait(60.0)
    return began


def _joined(scene: Scene, **settings: str) -> Worker:
    """A new worker that serves."""
    worker = scene.fleet.start(**settings)
    await_true(worker.holds, _STARTS_S, f"{worker.name} got nothing to serve, see {worker.log}")
    return worker


def _dead(victim: Worker) -> float:
    """Time at which the worker had killed itself."""
    await_true(
        lambda: victim.code is not None,
        _STARTS_S,
        f"{victim.name} did not come to its place, see {victim.log}",
    )
    return time.monotonic()


def _ways(scene: Scene, draw: random.Random) -> Sequence[Proxy]:
    """Proxies of one node, or of all."""
    every = scene.site.proxies
    return draw.choice(([draw.choice(every)], every))


def _learns_of_its_loss(victim: Worker, losses: int) -> None:
    """It has woken, and had learned of so many losses before."""
    await_true(
        lambda: victim.losses() > losses or victim.code is not None,
        _STARTS_S,
        f"{victim.name} woke and was not told that it has lost its partitions, see {victim.log}",
    )


def _end(scene: Scene, worker: Worker) -> None:
    _at_once(scene, worker, signal.SIGTERM)
    _ended(scene, worker)


def _ended(scene: Scene, worker: Worker) -> None:
    if worker.wait(120.0):
        scene.fleet.failed.append(
            f"{worker.name} ended with {worker.code} after SIGTERM:\n{worker.tail()}"
        )
