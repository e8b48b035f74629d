"""`eddycast models compare`: two topics of forecasts, joined by stream and stamp."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.formats.avro_schema import avro_schema
from eddycast.service.model.loading import load_runtime
from tests.monitor.records import LEVELS, START
from tests.support.bundles import RECURRENT, write_bundle
from tests.support.crashing import Fleet
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT, OUTPUT, made, memory_broker, send

HOUR, MINUTE, SHADOW = 3_600_000, 60_000, "b-forecasts"
Document = dict[str, Any]
#: The arguments of a comparison of all readings.
ALL = ("--burn-in", "1ms")


def walks(hours: int, streams: int = 2) -> dict[str, list[float]]:
    """Random walks, each of another size."""
    random = np.random.default_rng(0)
    steps = random.normal(0, 1, (streams, hours)) * 10.0 ** np.arange(streams)[:, None]
    return {f"s{i}": walk.tolist() for i, walk in enumerate(steps.cumsum(axis=1))}


def forecasts(
    readings: dict[str, list[float]], shift: float, width: float, **changes: Any
) -> list[Document]:
    """The records of a model that expects the last value plus `shift`, give or take `width`, in
    units of the stream's size."""
    found = []
    for size, (stream, values) in enumerate(readings.items()):
        for hour, value in enumerate(values):
            expected, error = None, None
            if hour:
                centre = values[hour - 1] + shift * 10.0**size
                expected = [centre + 10.0**size * width * side for side in (-1, 0, 1)]
                error = value - centre
            found.append(
                {
                    "stream": stream, "timestamp": START + hour * HOUR, "value": value,
                    "expected": expected, "error": error, "model": "walk@123456",
                    "interval_ms": HOUR, "quantiles": list(LEVELS), "one_step": [value] * 3,
                    "multi_step": None, "surprise": 0.5, "anomaly": 0.5, "warm": True,
                } | changes
            )  # fmt: skip
    return found


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FaultyBroker:
    broker = FaultyBroker()
    for topic in (OUTPUT, SHADOW):
        broker.admin().create_topic(topic, 2)
    monkeypatch.setattr("eddycast.service.commands.compared_sources.broker_of", lambda _: broker)
    return broker


@pytest.fixture
def compare(
    broker: FaultyBroker, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Run the command; what it prints as JSON."""

    def compared(*words: str, topic: str = SHADOW) -> dict[str, Any]:
        capsys.readouterr()
        code = run(["models", "compare", topic, "--json", *words])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        found: dict[str, Any] = json.loads(printed.out)
        return found

    return compared


def write(broker: FaultyBroker, topic: str, records: Sequence[Document | bytes]) -> None:
    """Records in turns to both partitions."""
    with broker.producer() as producer:
        for partition in range(2):
            values = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
            own = values[partition::2]
            producer.produce(topic, partition, [None] * len(own), own)
        producer.flush(1.0)


def pinball(records: Sequence[Document], stream: str) -> float:
    """The mean quantile loss on a stream, doubled, straight from its definition."""
    losses: list[float] = [
        2 * (level * gap if gap > 0 else (level - 1) * gap)
        for record in records
        if record["stream"] == stream and record["expected"] is not None
        for level, quantile in zip(LEVELS, record["expected"], strict=True)
        for gap in [record["value"] - quantile]
    ]
    return sum(losses) / len(losses)


def test_losses_are_those_of_the_definition_in_units_of_each_stream(
    broker: FaultyBroker, compare: Callable[..., dict[str, Any]]
) -> None:
    readings = walks(400)
    old, new = forecasts(readings, 0.0, 1.28), forecasts(readings, 0.5, 3.0, model="walk@abcdef")
    write(broker, OUTPUT, old)
    write(broker, SHADOW, new)
    found = compare(*ALL)
    assert found["models"] == {"champion": ["walk@123456"], "challenger": ["walk@abcdef"]}
    # the first reading has no forecast, and the burn-in leaves out the next one
    old, new = ([r for r in made if r["timestamp"] > START + HOUR] for made in (old, new))
    assert found["one_step"]["forecasts"] == 2 * 398 and found["series"] == 2
    for line in found["by_stream"]:
        values = readings[line["stream"]][2:]
        unit = np.abs(np.diff(values)).mean()
        measure = line["measures"]["pinball"]
        expected = [pinball(made, line["stream"]) for made in (old, new)]
        assert [measure["champion"] * unit, measure["challenger"] * unit] == pytest.approx(
            expected, rel=1e-5
        )
        assert measure["difference"][0] == pytest.approx(expected[1] / expected[0] - 1, rel=1e-5)
        error = line["measures"]["error"]
        gaps = np.abs(np.diff(values, prepend=readings[line["stream"]][1]))
        assert error["champion"] * unit == pytest.approx(gaps.mean(), rel=1e-5)
    inside = [abs(r["error"]) <= 1.28 * (1 if r["stream"] == "s0" else 10) for r in old]
    assert found["one_step"]["coverage"]["champion"] == pytest.approx(np.mean(inside))
    assert (
        found["one_step"]["blocks"] == 17
        and found["one_step"]["verdict"] == "the challenger is worse beyond chance"
    )
    assert found["one_step"]["measures"]["pinball"]["difference"][1] > 0


def test_only_readings_that_both_have_forecast_count_and_each_once(
    broker: FaultyBroker, compare: Callable[..., dict[str, Any]]
) -> None:
    readings = walks(300)
    old, new = forecasts(readings, 0.0, 1.28), forecasts(readings, 0.1, 1.28)
    write(broker, OUTPUT, old)
    write(broker, SHADOW, new)
    whole = compare(*ALL)
    again, other = f"{SHADOW}-2", f"{OUTPUT}-2"
    for topic in (again, other):
        broker.admin().create_topic(topic, 2)
    # each lacks something of its own, in another order, and some records came twice
    write(broker, other, [*old[50:][::-1], b"no forecast", *old[100:120]])
    write(broker, again, [*new[:550], *new[30:90]])
    part = compare(*ALL, "--topics.output", other, topic=again)
    assert part["one_step"]["forecasts"] == 250 + 250 - 1 - 1
    rest = compare(
        *ALL, "--topics.output", again, topic=other,
    )  # fmt: skip
    one, back = part["one_step"]["measures"]["pinball"], rest["one_step"]["measures"]["pinball"]
    assert (one["champion"], one["challenger"]) == (back["challenger"], back["champion"])
    assert whole["one_step"]["forecasts"] == 2 * 298


def test_the_burn_in_and_what_lies_before_the_last_readings_are_left_out(
    broker: FaultyBroker, compare: Callable[..., dict[str, Any]], capsys: Any
) -> None:
    readings = walks(100)
    write(broker, OUTPUT, forecasts(readings, 0.0, 1.28))
    write(broker, SHADOW, forecasts(readings, 0.0, 1.28))
    assert compare("--burn-in", "9h")["from_ms"] == START + 10 * HOUR
    found = compare("--burn-in", "9h", "--last", "20h")
    assert found["from_ms"] == START + 79 * HOUR + 1 and found["one_step"]["forecasts"] == 40
    assert found["one_step"]["verdict"].startswith("too early: 1 block of time")
    assert found["one_step"]["measures"]["error"]["difference"] == [0.0, None, None]
    assert run(["models", "compare", SHADOW, "--burn-in", "9d"]) == 2
    assert "the burn-in is 9d" in capsys.readouterr().err


def test_avro_is_read_like_json(
    broker: FaultyBroker,
    compare: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = avro_schema(1, 1, np.dtype(np.float64))

    def framed(record: Document) -> bytes:
        content = io.BytesIO(struct.pack(">bI", 0, 7))
        content.seek(5)
        whole = {field["name"]: record.get(field["name"]) for field in schema["fields"]}
        fastavro.schemaless_writer(content, fastavro.parse_schema(schema), whole)
        return content.getvalue()

    monkeypatch.setattr(SchemaRegistry, "schema_of", lambda self, schema_id: schema)
    readings = walks(100)
    write(broker, OUTPUT, forecasts(readings, 0.0, 1.28))
    challenger = forecasts(readings, 0.5, 3.0)
    write(broker, SHADOW, challenger)
    expected = compare(*ALL)
    avro = f"{SHADOW}-avro"
    broker.admin().create_topic(avro, 2)
    write(broker, avro, [framed(record) for record in challenger])
    assert compare(*ALL, topic=avro) == expected


@pytest.fixture
def served(broker: FaultyBroker, tmp_path: Path) -> None:
    """Both topics as two services have filled them, by the bundles `old` and `new`, and the input
    that they have read."""
    names, minutes, random = (b"a", b"b", b"c"), 300, np.random.default_rng(0)
    values = random.normal(0, 1, (minutes, len(names))).cumsum(axis=0)
    sent = [
        (s % 2, name, {"timestamp": START + t * MINUTE, "value": values[t, s]})
        for t in range(minutes)
        for s, name in enumerate(names)
        if (t + s) % 9
    ]
    broker.admin().create_topic(INPUT, 2)
    send(broker, sent)
    models = {"old": RECURRENT, "new": replace(RECURRENT, seed=8, spread=2.0)}
    for (name, walk), topic in zip(models.items(), (OUTPUT, SHADOW), strict=True):
        write_bundle(tmp_path / name, walk)
        elsewhere = memory_broker(2)
        send(elsewhere, sent)
        Fleet(elsewhere, load_runtime(tmp_path / name)).settle()
        write(broker, topic, [record.value or b"" for record in made(elsewhere)])


#: Words of a comparison of what they have written.
SERVED = ("--burn-in", "10min", "--block", "20min", "--multi-step")


@pytest.mark.usefixtures("served")
def test_a_replay_of_the_input_finds_what_both_topics_hold(
    compare: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    flags = ("--replay", "--bundle.directory", str(tmp_path / "old"))
    found = compare(*SERVED, *flags, topic=str(tmp_path / "new"))
    expected = compare(*SERVED)
    assert found["models"] == expected["models"]
    for leads in ("one_step", "multi_step"):
        one, other = found[leads], expected[leads]
        for fact in ("verdict", "forecasts", "blocks"):
            assert one[fact] == other[fact]
        assert one["forecasts"] > 500 and one["blocks"] >= 10
        for name, measure in one["measures"].items():
            for role, figure in measure.items():
                near = pytest.approx(other["measures"][name][role], rel=1e-3, abs=1e-4)
                assert figure == near, (leads, name, role)
    late = compare(*SERVED, "--last", "1h", *flags, topic=str(tmp_path / "new"))
    assert late["from_ms"] >= found["until_ms"] - 60 * MINUTE
    assert late["one_step"]["forecasts"] < 3 * 60


@pytest.mark.usefixtures("served")
def test_multi_step_forecasts_are_scored_by_the_readings_that_came(
    broker: FaultyBroker, compare: Callable[..., dict[str, Any]]
) -> None:
    found = compare(*SERVED)
    result = found["multi_step"]
    for role, topic in (("champion", OUTPUT), ("challenger", SHADOW)):
        documents = [json.loads(record.value or b"") for record in made(broker, topic)]
        counted = [d for d in documents if found["from_ms"] <= d["timestamp"]]
        came = {(d["stream"], d["timestamp"]): d["value"] for d in counted}
        means = []
        for document in counted:
            stream, stamp = document["stream"], document["timestamp"]
            due = [came.get((stream, stamp + lead * MINUTE)) for lead in (1, 2, 3)]
            gaps = [
                2 * max(level * (value - quantile), (level - 1) * (value - quantile))
                for value, fan in zip(due, document["multi_step"], strict=True)
                for level, quantile in zip(LEVELS, fan, strict=True)
                if value is not None
            ]
            if gaps:
                own = [value for (name, _), value in sorted(came.items()) if name == stream]
                means.append(sum(gaps) / len(gaps) / np.abs(np.diff(own)).mean())
        assert result["forecasts"] == len(means)
        assert result["measures"]["pinball"][role] == pytest.approx(np.mean(means), rel=1e-3)


def test_without_multi_step_forecasts_there_is_nothing_to_compare(
    broker: FaultyBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    for topic in (OUTPUT, SHADOW):
        write(broker, topic, forecasts(walks(100), 0.0, 1.28))
    assert run(["models", "compare", SHADOW, "--multi-step"]) == 2
    assert f"{OUTPUT} holds no multi-step forecasts" in capsys.readouterr().err


def test_people_read_the_verdict_and_the_streams_that_differ_most(
    broker: FaultyBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = walks(400) | {"flat": [3.0] * 400}
    write(broker, OUTPUT, forecasts(readings, 0.5, 3.0))
    write(broker, SHADOW, forecasts(readings, 0.0, 1.28, quantiles=[0.05, 0.5, 0.9]))
    assert run(["models", "compare", SHADOW, "--streams", "1"]) == 0
    said = capsys.readouterr().out
    assert "one step ahead: the challenger is better beyond chance" in said
    assert "left out, as their readings never change: 1 series" in said
    assert "2 better beyond chance, 0 worse (of 2;" in said
    assert "inside the 40% interval" in said, "of the levels that both have"
    assert ("s0 " in said) != ("s1 " in said)


@pytest.mark.parametrize(
    ("changes", "topic", "fact"),
    [
        ({}, "nowhere", "there is no topic nowhere"),
        ({"interval_ms": HOUR // 2}, SHADOW, "several intervals: 30min, 1h"),
        ({"quantiles": [0.1, 0.4, 0.9]}, SHADOW, "share no median"),
        ({"expected": None, "error": None}, SHADOW, "no scored forecast of the same reading"),
        ({"timestamp": START - 1}, SHADOW, "no scored forecast of the same reading"),
        ({"one_step": 1}, SHADOW, f"{SHADOW} holds no forecasts in 20 records"),
    ],
)
def test_what_cannot_be_compared_is_named(
    changes: Document,
    topic: str,
    fact: str,
    broker: FaultyBroker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    readings = walks(10)
    write(broker, OUTPUT, forecasts(readings, 0.0, 1.28))
    write(broker, SHADOW, forecasts(readings, 0.0, 1.28, **changes))
    assert run(["models", "compare", topic]) != 0
    assert fact in capsys.readouterr().err
