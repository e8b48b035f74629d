"""Groups whose workers serve different models, and the rows that rule 2 of docs/durability.md gives
them, worked out from the recorded meanings alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from eddycast.service.errors import BrokerError, StateError
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import PartitionBatch
from eddycast.service.state.changelog import MODEL_KEY, RowCodec, is_stream
from eddycast.service.state.model_record import ModelRecord
from tests.support.bundles import START_MS, Walk, listed
from tests.support.crashing import Crash, Fleet
from tests.support.running import CHANGELOG, Worker, documents, made, send

MINUTE, STREAMS, PARTITIONS = 60_000, 6, 2
#: Two that differ in their weights alone, one without a latent state.
MODELS = {
    "A": listed(Walk(hidden=4)),
    "B": listed(Walk(hidden=4, spread=2.0), latent="beef" * 4),
    "C": listed(Walk()),
}
Tensors = dict[str, list[object]]


@dataclass
class Group:
    """A fleet whose workers may serve different models; whoever is behind ends."""

    fleet: Fleet
    runtimes: dict[str, Runtime]
    fed: int = 0
    sent: Counter[tuple[str, int]] = field(default_factory=Counter)

    def feed(self, minutes: int, speaking: int) -> None:
        """The streams whose bit is set in `speaking` are heard."""
        for t in range(self.fed, self.fed + minutes):
            heard = [s for s in range(STREAMS) if speaking >> s & 1]
            stamp = START_MS + t * MINUTE
            with self.fleet.broker.faults.sleep():
                send(
                    self.fleet.broker,
                    [
                        (s % PARTITIONS, b"s%d" % s, {"timestamp": stamp, "value": s + t * 1.5 % 7})
                        for s in heard
                    ],
                )
            self.sent.update((f"s{s}", stamp) for s in heard)
        self.fed += minutes

    def happen(self, event: tuple[object, ...]) -> None:
        fleet = self.fleet
        match event:
            case ("feed", int(minutes), int(speaking)):
                self.feed(minutes, speaking)
            case ("turn", int(times)):
                self.turn(times)
            case ("start", str(model), place) if len(fleet.alive) < 3:
                self.start(model, None if place is None else str(place))
            case ("replace", str(model)):
                for subject in list(fleet.alive):
                    fleet.stop(subject)
                self.start(model)
                self.turn(2)
            case ("fail", str(what), int(times)):
                fleet.broker.fail_next(what, times)
            case (str(what), int(which)) if fleet.alive and what in ("kill", "stop"):
                victim = fleet.alive[which % len(fleet.alive)]
                fleet.kill(victim) if what == "kill" else fleet.stop(victim)

    def start(self, model: str, place: str | None = None) -> None:
        self.fleet.runtime = self.runtimes[model]
        self.fleet.start(place)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            for subject in list(self.fleet.alive):
                self._turn(subject)

    def _turn(self, subject: Worker) -> None:
        try:
            subject.turn()
        except StateError as error:
            assert "(generation " in error.what
            self.fleet.alive.remove(subject)
            subject.pipeline.close()
        except BrokerError:
            pass
        except Crash:
            self.fleet.kill(subject)

    def check(self) -> None:
        """Committed rows in memory equal those that the changelog gives by the rule."""
        for subject in self.fleet.alive:
            store, partitions = subject.pipeline._store, subject.pipeline._delivery.partitions
            if partitions.has_uncommitted:
                continue
            for partition in partitions.serving:
                streams = store.arena.streams(partition)
                tensors = store.arena.gather(store.arena.slots(partition, streams))
                found = {
                    s: {n: t[i].tolist() for n, t in tensors.items()} for i, s in enumerate(streams)
                }
                mine = store._adopted(partition).model
                if mine.generation == (last_model(self, partition) or mine).generation:
                    assert found == expected(self, partition, mine)

    def check_answers(self, delivery: str) -> None:
        """Each reading is answered, once if `delivery` promises it, and the generations of rows
        never fall within a partition."""
        answered = Counter((d["stream"], d["timestamp"]) for d in documents(self.fleet.broker))
        assert set(answered) == set(self.sent)
        assert delivery == "at_least_once" or set(answered.values()) <= {1}
        for partition in range(PARTITIONS):
            written = [
                int.from_bytes((v or b"")[22:26], "little")
                for k, v in records(self, partition)
                if is_stream(k) and v
            ]
            assert written == sorted(written)


def records(group: Group, partition: int) -> list[tuple[bytes, bytes | None]]:
    return [
        (r.key or b"", r.value)
        for r in made(group.fleet.broker, CHANGELOG)
        if r.partition == partition
    ]


def models(group: Group, partition: int) -> dict[int, ModelRecord]:
    """All model records of a partition, by generation."""
    said = [value or b"" for key, value in records(group, partition) if key == MODEL_KEY]
    found = [ModelRecord.model_validate_json(value[22:]) for value in said]
    assert [model.generation for model in found] == sorted({model.generation for model in found})
    return {model.generation: model for model in found}


def last_model(group: Group, partition: int) -> ModelRecord | None:
    found = models(group, partition)
    return found[max(found)] if found else None


def expected(group: Group, partition: int, model: ModelRecord) -> dict[bytes, Tensors]:
    """Expected last row of each stream: a part is kept if its meaning was the same in every
    generation since the row's."""
    rows = {
        key: value
        for key, value in records(group, partition)
        if is_stream(key) and value is not None
    }
    history, found = models(group, partition), {}
    for stream, value in rows.items():
        generation = int.from_bytes(value[22:26], "little")
        writer = next(
            r for r in group.runtimes.values() if r.manifest.version == history[generation].version
        )
        offsets = np.zeros(1, np.int64)
        batch = PartitionBatch(CHANGELOG, partition, [stream], [value], offsets, offsets)
        tensors = RowCodec(writer.manifest.state).decode(batch).tensors
        found[stream] = {
            spec.name: tensors[spec.name][0].tolist()
            if unbroken(history, generation, part.name)
            else np.zeros(spec.shape, spec.dtype).tolist()
            for part in model.parts
            for spec in part.tensors
        }
    return found


def unbroken(history: dict[int, ModelRecord], generation: int, name: str) -> bool:
    parts = [model.part(name) for number, model in history.items() if number >= generation]
    return len({part and part.meaning for part in parts}) == 1 and parts[0] is not None
