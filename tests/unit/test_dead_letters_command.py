"""`eddycast dead-letters`: letters of the service are shown, and replayed once each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.__main__ import run
from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.broker.memory.producer import MemoryProducer
from eddycast.service.dead_letters.headers import OWN, dead_letter
from eddycast.service.dead_letters.letter import MARK, Letter
from eddycast.service.delivery import connect
from eddycast.service.errors import CommitUnknown, TransactionFailed
from eddycast.service.humanize import one_line
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.monitor.letters import Letters
from eddycast.service.records import Damage, DeadLetter, Headers
from eddycast.service.redrive import replay as replaying
from eddycast.service.redrive.letters import Selection
from eddycast.service.redrive.lines import line_of, read_edited
from eddycast.service.redrive.replay import ORIGINAL_TIME, replay
from eddycast.service.settings.settings import Settings
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.crashing import Fleet
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import DEAD, INPUT, documents, made, memory_broker
from tests.support.tuning import Tuning

MINUTE = 60_000
Run = Callable[..., str]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path = tmp_path_factory.mktemp("bundle")
    write_bundle(path, Walk())
    return load_runtime(path)


def other_shape(minute: int) -> bytes:
    """A record that the default mapping cannot read, and `MENDED` can."""
    return json.dumps({"ts": START_MS + minute * MINUTE, "celsius": 20.0 + minute}).encode()


MENDED = {"value": "/celsius", "timestamp": "/ts"}
TRACE: Headers = [("traceparent", b"00-1"), ("raw", b"\xff")]


def produce(
    broker: FaultyBroker,
    topic: str,
    records: Sequence[tuple[int, bytes | None, bytes | None, Headers]],
) -> None:
    producer = broker.producer()
    for partition, key, value, headers in records:
        producer.produce(topic, partition, [key], [value], [headers])
    producer.flush(1.0)


def wrote(broker: FaultyBroker, letters: list[DeadLetter], limit_bytes: int = 1000) -> None:
    """Letters as the service writes them."""
    produce(broker, DEAD, [(one.partition, *dead_letter(one, limit_bytes)) for one in letters])


def letter(offset: int, **changes: Any) -> DeadLetter:
    facts: dict[str, Any] = {
        "topic": INPUT, "partition": 0, "offset": offset, "key": b"a", "value": b"v%d" % offset,
        "error": "not_json", "reason": "the value is not JSON", "time": START_MS + offset,
    }  # fmt: skip
    return DeadLetter(**(facts | changes))


@pytest.fixture
def broker() -> FaultyBroker:
    return memory_broker(2)


@pytest.fixture
def command(broker: FaultyBroker, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `eddycast dead-letters` and return what it printed."""

    def ran(*words: str, code: int = 0) -> str:
        with (
            patch.object(connect, "kafka_broker", lambda _: broker),
            pytest.MonkeyPatch.context() as patched,
        ):
            patched.setenv("COLUMNS", "250")
            assert run(["dead-letters", *words]) == code
        out, err = capsys.readouterr()
        return out + err

    return ran


def inputs(broker: FaultyBroker) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(one.partition, one.key, one.value) for one in made(broker, INPUT)]


def refused(broker: FaultyBroker, runtime: Runtime) -> Fleet:
    """A service whose mapping does not fit, with eight letters of two streams."""
    records = [(p, b"s%d" % p, other_shape(minute), TRACE) for minute in range(4) for p in range(2)]
    produce(broker, INPUT, records)
    fleet = Fleet(broker, runtime)
    fleet.start()
    fleet.settle()
    fleet.stop(fleet.alive[0])
    assert not documents(broker)
    return fleet


def test_after_the_mapping_is_mended_every_letter_becomes_a_forecast(
    runtime: Runtime, broker: FaultyBroker, command: Run
) -> None:
    refused(broker, runtime)
    assert "8 letters, 0 replayed" in command("show")
    assert "8 records would be replayed" in command("replay", "--dry-run")
    assert len(inputs(broker)) == 8
    assert "8 records replayed" in command("replay")
    mended = Fleet(broker, runtime, Tuning(input=MENDED))
    mended.start()
    mended.settle()
    found = documents(broker)
    assert sorted((one["stream"], one["value"]) for one in found) == [
        (f"s{p}", 20.0 + minute) for p in range(2) for minute in range(4)
    ]
    assert "0 records replayed" in command("replay")
    assert "8 letters, 8 replayed" in command("show")


def test_a_replayed_record_is_the_rejected_one_with_its_time(
    runtime: Runtime, broker: FaultyBroker, command: Run
) -> None:
    refused(broker, runtime)
    before = made(broker, INPUT)
    command("replay")
    after = made(broker, INPUT)[:]
    again = [one for one in after if one not in before]
    assert [(one.partition, one.key, one.value) for one in again] == [
        (one.partition, one.key, one.value) for one in before
    ]
    for one, first in zip(again, before, strict=True):
        assert one.headers == [*TRACE, (ORIGINAL_TIME, b"%d" % first.timestamp)]


def test_the_time_of_the_rejected_record_can_be_read_after_a_replay(
    runtime: Runtime, broker: FaultyBroker, command: Run
) -> None:
    refused(broker, runtime)
    times = {one.timestamp for one in made(broker, INPUT)}
    broker._clock = lambda: 2_000_000_000.0
    command("replay")
    places = f"/none, header.{ORIGINAL_TIME}, record"
    fleet = Fleet(broker, runtime, Tuning(input={"value": "/celsius", "timestamp": places}))
    fleet.start()
    fleet.settle()
    found = {one["timestamp"] for one in documents(broker)}
    assert found and found <= times


def test_a_record_that_is_refused_again_has_a_letter_that_can_be_replayed(
    runtime: Runtime, broker: FaultyBroker, command: Run
) -> None:
    fleet = refused(broker, runtime)
    command("replay", "--stream", "s1")
    fleet.start()
    fleet.settle()
    assert "12 letters, 4 replayed" in command("show")
    assert "4 records replayed" in command("replay", "--stream", "s1")
    *_, last = made(broker, INPUT)
    assert [name for name, _ in last.headers] == ["traceparent", "raw", ORIGINAL_TIME]


def test_letters_are_chosen(broker: FaultyBroker, command: Run) -> None:
    wrote(broker, [letter(0), letter(1, error="no_value"), letter(2, key=b"plant/b")])
    assert "1 record would be" in command("replay", "--dry-run", "--code", "no_value")
    assert "3 records would be" in command("replay", "--dry-run", "--code", "no_value, not_json")
    assert "1 record would be" in command("replay", "--dry-run", "--stream", "plant/*")
    assert "2 records would be" in command("replay", "--dry-run", "--stream", "!plant/*")
    assert "0 records would be" in command("replay", "--dry-run", "--since", "2999-01-01")
    assert "3 records would be" in command("replay", "--dry-run", "--since", "2020-01-01")
    assert "1 record replayed" in command("replay", "--code", "no_value")
    assert "2 records replayed\n".replace("\n", " to") in command("replay")
    assert [value for _, _, value in inputs(broker)] == [b"v1", b"v0", b"v2"]
    assert "no error 'nonsense'" in command("show", "--code", "nonsense", code=2)


def test_letters_of_one_record_are_one_replay(broker: FaultyBroker, command: Run) -> None:
    wrote(broker, [letter(0, error="no_value"), letter(0, error="late"), letter(1)])
    assert "1 record replayed" in command("replay", "--code", "late")
    assert "1 record replayed" in command("replay", "--code", "not_json")
    found = command("replay")
    assert "0 records replayed" in found and "3 letters replayed before" in found
    assert len(inputs(broker)) == 2
    wrote(broker, [letter(7, error="no_value"), letter(7, error="late")])
    assert "1 further letter of the same records" in command("replay")


def test_a_record_cannot_pass_itself_off_as_a_mark(broker: FaultyBroker, command: Run) -> None:
    """Its headers stand before ours in its letter."""
    forged = letter(1, headers=[(MARK, b"1")], value=f"{INPUT}/0/0/{START_MS}".encode())
    wrote(broker, [letter(0), forged])
    assert "2 records replayed" in command("replay")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": b"x" * 2000}, "truncated"),
        ({"damage": Damage(4, 9, "gzip", "undecodable", "why")}, "record batch"),
        ({"topic": "elsewhere"}, f"not of the topic {INPUT}"),
        ({"offset": 5, "error": "late"}, ""),
    ],
)
def test_what_cannot_be_replayed_is_named(
    broker: FaultyBroker, command: Run, changes: dict[str, Any], reason: str
) -> None:
    wrote(broker, [letter(0), letter(**({"offset": 1} | changes))])
    found = command("replay", code=bool(reason))
    assert ("refused 0:1: " in found) is bool(reason) and reason in found
    assert len(inputs(broker)) == (1 if reason else 2)


def test_a_partition_that_is_gone_is_named(command: Run) -> None:
    small = memory_broker(1)
    small.grow(DEAD, 4)
    wrote(small, [letter(0, partition=3), letter(1)])
    report = replay(small, Settings(), Selection())
    assert report.replayed == 1 and "partition 3" in report.named[0][1]


@pytest.mark.parametrize("size", [1, 3, 500])
@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_replay_that_is_killed_goes_on_and_nothing_comes_twice(
    broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch, size: int, dies: str
) -> None:
    """It dies before or after its third commit, its transaction still open."""
    wrote(broker, [letter(i, partition=i % 2) for i in range(10)])
    monkeypatch.setattr(replaying, "_RECORDS", size)
    commits, commit = 0, MemoryProducer.commit

    class Killed(BaseException):
        pass

    def dying(producer: MemoryProducer, timeout_s: float = 10.0) -> None:
        nonlocal commits
        commits += 1
        if dies == "after" or commits < 3:
            commit(producer, timeout_s)
        if commits == 3:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MemoryProducer, "commit", dying)
        patched.setattr(MemoryProducer, "close", lambda *_: None)
        if size == 500:
            replay(broker, Settings(), Selection())
        else:
            with pytest.raises(Killed):
                replay(broker, Settings(), Selection())
    replay(broker, Settings(), Selection())
    assert sorted(value or b"" for _, _, value in inputs(broker)) == [b"v%d" % i for i in range(10)]


@pytest.mark.parametrize(("fault", "left"), [("answer", 0), ("transaction", 10), ("produce", 10)])
def test_a_commit_that_fails_is_whole_or_nothing(
    broker: FaultyBroker, fault: str, left: int
) -> None:
    wrote(broker, [letter(i) for i in range(10)])
    broker.fail_next(fault)
    with pytest.raises(CommitUnknown if fault == "answer" else TransactionFailed):
        replay(broker, Settings(), Selection())
    assert replay(broker, Settings(), Selection()).replayed == left
    assert len(inputs(broker)) == 10


def test_of_two_replays_at_once_the_first_fails(broker: FaultyBroker) -> None:
    wrote(broker, [letter(i) for i in range(3)])
    seen: list[MemoryProducer] = []
    commit = MemoryProducer.commit

    def overtaken(producer: MemoryProducer, timeout_s: float = 10.0) -> None:
        if not seen:
            seen.append(producer)
            assert replay(broker, Settings(), Selection()).replayed == 3
        commit(producer, timeout_s)

    with (
        patch.object(MemoryProducer, "commit", overtaken),
        pytest.raises(TransactionFailed, match="newer producer"),
    ):
        replay(broker, Settings(), Selection())
    assert len(inputs(broker)) == 3


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def edited(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, found)) + "\n\n")
    return str(path)


def test_edited_letters_replace_the_records(
    broker: FaultyBroker, command: Run, tmp_path: Path
) -> None:
    wrote(broker, [letter(i, partition=1, headers=TRACE) for i in range(3)])
    found = lines(command("show", "--json"))
    assert [one["value"] for one in found] == ["v0", "v1", "v2"]
    assert found[0]["headers"] == [["traceparent", "00-1"], ["raw", {"base64": "/w=="}]]
    found[0]["value"] = '{"value": 1}'
    found[1]["headers"][1][0] = "cooked"
    file = edited(tmp_path / "letters", found[:2])
    assert "2 records replayed" in command("replay", "--edit", file)
    sent = made(broker, INPUT)
    assert [one.value for one in sent] == [b'{"value": 1}', b"v1"]
    assert sent[1].headers[:2] == [("traceparent", b"00-1"), ("cooked", b"\xff")]
    assert "2 letters replayed before" in command("replay", "--edit", file)
    assert "0 records" in command("replay", "--edit", file, "--code", "late")
    assert [one["replayed"] for one in lines(command("show", "--json"))] == [True, True, False]


def test_edits_of_one_record_that_differ_are_refused(
    broker: FaultyBroker, command: Run, tmp_path: Path
) -> None:
    wrote(broker, [letter(0, error="no_value"), letter(0, error="late"), letter(1)])
    found = lines(command("show", "--json"))
    found[1]["value"] = "mended"
    said = command("replay", "--edit", edited(tmp_path / "letters", found), code=1)
    assert "1 record replayed" in said and "differs" in said and "0:0" in said and "0:1" in said
    found[0]["value"] = "mended"
    assert "1 record replayed" in command("replay", "--edit", edited(tmp_path / "letters", found))
    assert [one.value for one in made(broker, INPUT)] == [b"v1", b"mended"]


def test_a_changed_key_needs_its_partitioner(
    broker: FaultyBroker, command: Run, tmp_path: Path
) -> None:
    wrote(broker, [letter(0, key=None, error="no_key")])
    (found,) = lines(command("show", "--json"))
    assert found["key"] is None
    key = next(name for name in "abcdef" if PARTITIONERS["crc32"](name.encode()) % 2 == 1)
    found["key"] = key
    file = edited(tmp_path / "letters", [found])
    assert "--partitioner" in command("replay", "--edit", file, code=1)
    command("replay", "--edit", file, "--partitioner", "crc32")
    assert inputs(broker) == [(1, key.encode(), b"v0")]


def test_a_file_that_does_not_fit_the_topic_is_refused(
    broker: FaultyBroker, command: Run, tmp_path: Path
) -> None:
    wrote(broker, [letter(0), letter(1), letter(2)])
    found = lines(command("show", "--json"))
    found[1]["identity"] = "observations/0/1/0"
    found[2]["offset"] = 99
    said = command("replay", "--edit", edited(tmp_path / "letters", found), code=1)
    assert "refused 0:1: the line belongs to another letter" in said
    assert "refused 0:99: " in said and len(inputs(broker)) == 1
    for odd, where in (("[1]", "line 2"), ("{", "line 2"), (json.dumps(found[0]), "line 2")):
        path = tmp_path / "odd"
        path.write_text(json.dumps(found[0]) + "\n" + odd)
        assert where in command("replay", "--edit", str(path), code=2)
    assert "cannot be read" in command("replay", "--edit", str(tmp_path / "none"), code=2)


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5))),
)
@settings(max_examples=50)
def test_a_letter_survives_its_topic_and_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> None:
    broker = memory_broker()
    own = [one for one in headers if not one[0].startswith(OWN)]
    value = b"" if key is None and value is None else value
    wrote(broker, [letter(3, key=key, value=value, headers=headers)])
    reader = broker.reader(DEAD)
    reader.start({0: 0})
    (batch,) = reader.poll(0, 10)
    read = Letter.of(batch, 0)
    assert read is not None
    assert (read.key, read.value, read.headers) == (key, value, own)
    assert (read.record_offset, read.record_time) == (3, START_MS + 3)
    path = tmp_path_factory.mktemp("file") / "letters"
    path.write_bytes(line_of(read, False))
    (line,) = read_edited(path).values()
    assert (line.key, line.value, line.headers) == (key, value, own)


@pytest.mark.parametrize("odd", ["[/red]", "\x1b[2J", "a\nb", "\u202e", "[bold]x[/bold]"])
def test_foreign_text_neither_styles_nor_moves_the_terminal(
    broker: FaultyBroker, command: Run, odd: str
) -> None:
    text = odd.encode()
    own: Headers = [(odd, text)]
    wrote(broker, [letter(0, key=text, value=text, headers=own, reason=odd, places=(odd,))])
    for words in (["show"], ["show", "--code", "not_json"]):
        found = command(*words)
        assert one_line(odd) in found
        assert set("\x1b\u202e").isdisjoint(found)


def test_single_letters_are_shown_with_advice(broker: FaultyBroker, command: Run) -> None:
    long = b"x" * 900
    wrote(broker, [letter(0, value=long, places=("/a/1", "/a/2")), letter(1, value=b"\xff")], 800)
    found = command("show", "--code", "not_json")
    assert "0:0  20" in found and ", truncated" in found
    assert f"{INPUT} 0:0 of 2023-11-14" in found and "2 readings: /a/1, /a/2" in found
    assert "x" * 300 + "…" in found and "x" * 301 not in found
    assert "\\xff" in found and "not_json: 2 letters: " in found
    assert "no such letters" in command("show", "--code", "late")


def test_letters_are_summed_by_error(broker: FaultyBroker, command: Run) -> None:
    wrote(broker, [letter(i) for i in range(5)] + [letter(9, error="no_value", partition=1)])
    found = command("show").splitlines()
    assert found[1].split()[:3] == ["not_json", "5", "0"] and f"{INPUT} 0:4" in found[1]
    assert found[2].split()[:3] == ["no_value", "1", "0"]
    assert "2 letters" in command("show", "--last", "1")
    assert "0 letters" in command("show", "--stream", "z")
    assert "there is no topic" in command("show", "--topics.dead_letters", "none-such", code=5)


def test_what_is_no_letter_is_passed_over(broker: FaultyBroker, command: Run) -> None:
    odd: Headers = [(OWN + "error", b"\xff\n"), (OWN + "offset", b"9" * 5000)]
    produce(broker, DEAD, [(0, b"k", b"v", []), (0, None, b"v", odd)])
    wrote(broker, [letter(0)])
    found = command("show")
    assert "2 letters" in found and "unknown" in found
    assert len(lines(command("show", "--json"))) == 2
    assert "1 record replayed" in command("replay", code=1)


def test_the_monitor_does_not_count_marks(broker: FaultyBroker, command: Run) -> None:
    wrote(broker, [letter(0)])
    command("replay")
    reader = broker.reader(DEAD)
    reader.start({0: 0})
    letters = Letters()
    letters.add(reader.poll(0, 10))
    assert letters.total == 1
