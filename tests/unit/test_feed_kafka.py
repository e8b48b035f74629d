"""`feed kafka` over in-process brokers: shapes, order, and each record once whatever fails."""

from __future__ import annotations

import json
import zlib
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.dead_letters.headers import LETTER_BYTES
from eddycast.service.errors import BrokerError, OffsetGone, RecordRefused, TopicMissing
from eddycast.service.records import LAST_TIMESTAMP
from tests.support.crashing import Crash, crash
from tests.support.faulty_broker import RECOVERABLE
from tests.support.feeding import (
    RAW,
    START_MS,
    bridge,
    brokers,
    fed,
    feed_all,
    numbers,
    raw,
    send,
    settings,
)
from tests.support.running import DEAD, INPUT, errors

#: Calls of the bridge that may fail and then succeed.
FAULTS = sorted({*RECOVERABLE} - {"send_offsets", "committed"})


def test_readings_are_keyed_by_stream_and_in_order() -> None:
    source, target = brokers()
    for partition in range(2):
        send(source, partition, [raw(n) for n in range(partition, 200, 2)])
    feed_all(source, target)
    assert numbers(target) == list(range(200))
    for record in target.read(INPUT):
        assert record.partition == zlib.crc32(record.key or b"") % 4
    for device in range(7):
        own = [doc for key, doc in fed(target) if key == b"d%d" % device]
        by_source = [[doc["value"] for doc in own if doc["value"] % 2 == p] for p in range(2)]
        assert all(values == sorted(values) for values in by_source)
        assert own[0]["timestamp"] >= START_MS


def test_the_plain_shape_keeps_keys_headers_and_tombstones() -> None:
    source, target = brokers(1)
    trace = [("traceparent", b"00-1")]
    send(source, 0, [b'{"timestamp": 1700000000000, "value": null}'], b"s", trace)
    send(source, 0, [None], b"s", trace)
    send(source, 0, [b'{"timestamp": "1970-01-02T00:00:00Z", "value": 2.5}'], b"s")
    feed_all(source, target, settings({}))
    assert [(r.key, r.value, r.headers) for r in target.read(INPUT)] == [
        (b"s", b'{"timestamp":1700000000000,"value":null}', trace),
        (b"s", None, trace),
        (b"s", b'{"timestamp":"1970-01-02T00:00:00+00:00","value":2.5}', []),
    ]


def test_what_cannot_be_read_is_a_dead_letter() -> None:
    source, target = brokers()
    send(source, 1, [raw(1), b"{", raw(2)], b"k", [("unit", b"C")])
    send(source, 1, [raw(3)], None, [("big", b"x" * (LETTER_BYTES + 1))])
    feed_all(source, target)
    assert numbers(target) == [1, 2]
    first, second = target.read(DEAD)
    assert (first.key, first.value, first.headers[0]) == (b"k", b"{", ("unit", b"C"))
    found = errors(first.headers)
    assert (found["error"], found["topic"]) == (b"not_json", RAW.encode())
    assert (found["partition"], found["offset"]) == (b"1", b"1")
    assert errors(second.headers)["error"] == b"too_large"


@given(st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 6)), max_size=6))
def test_each_record_comes_once_whatever_fails(faults: list[tuple[str, int]]) -> None:
    source, target = brokers()
    for start in range(0, 70, 10):
        send(source, start % 20 // 10, [raw(n) for n in range(start, start + 10)])
    subject, turn = bridge(source, target, settings(kafka={"max_poll_records": 10})), 0

    def at(place: str) -> None:
        nonlocal turn
        if place == "feed.2":
            turn += 1
            for what, when in faults:
                if when == turn:
                    target.fail_next(what)

    subject._reached = at
    stop = _NoPause()
    subject.run(stop, once=True)
    assert numbers(target) == list(range(70))


class _NoPause(Event):
    """An event on which waiting takes no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


@pytest.mark.parametrize("place", ["feed.1", "feed.2"])
def test_each_record_comes_once_after_a_crash(place: str) -> None:
    source, target = brokers()
    send(source, 0, [raw(n) for n in range(40)])
    chosen = settings(kafka={"max_poll_records": 10})
    for _ in range(5):

        def at(here: str) -> None:
            if here == place:
                crash()

        try:
            bridge(source, target, chosen, at).run(Event(), once=True)
        except Crash:
            target.expire()
    feed_all(source, target, chosen)
    assert numbers(target) == list(range(40))


def test_a_second_process_fences_the_first_and_nothing_comes_twice() -> None:
    source, target = brokers()
    send(source, 0, [raw(n) for n in range(40)])
    chosen, others = settings(kafka={"max_poll_records": 10}), [2]

    def at(place: str) -> None:
        if place == "feed.1" and others[0]:
            others[0] -= 1
            feed_all(source, target, chosen)

    bridge(source, target, chosen, at).run(_NoPause(), once=True)
    assert numbers(target) == list(range(40))


def test_a_later_start_resumes_and_another_topic_is_read_from_its_start() -> None:
    source, target = brokers()
    send(source, 0, [raw(1)])
    feed_all(source, target)
    send(source, 0, [raw(2)])
    feed_all(source, target)
    assert numbers(target) == [1, 2]
    source.delete_topic(RAW)
    source.admin().create_topic(RAW, 1)
    send(source, 0, [raw(3)])
    feed_all(source, target)
    assert numbers(target) == [1, 2, 3]


@pytest.mark.parametrize(("when", "expected"), [("earliest", [1, 3]), ("latest", [1])])
def test_records_that_were_deleted_unread(when: str, expected: list[int]) -> None:
    source, target = brokers(1)
    send(source, 0, [raw(1)])
    feed_all(source, target)
    send(source, 0, [raw(2), raw(3)])
    source.delete_records(RAW, 0, 2)
    with pytest.raises(OffsetGone, match=r"raw partition 0 .* 2 to 3, and 1 comes next"):
        feed_all(source, target)
    feed_all(source, target, settings(kafka={"when_deleted": when}))
    assert numbers(target) == expected


def test_a_start_at_the_end() -> None:
    source, target = brokers(1)
    send(source, 0, [raw(1)])
    feed_all(source, target, settings(kafka={"start_at": "latest"}))
    assert fed(target) == []


def test_what_a_retry_does_not_cure_is_raised() -> None:
    source, target = brokers()
    with pytest.raises(TopicMissing, match="observations"):
        feed_all(source, target, settings(topics={"create": False}))
    target.admin().create_topic(INPUT, 1, config={"max.message.bytes": "120"})
    send(source, 0, [raw(1)])
    with pytest.raises(RecordRefused):
        feed_all(source, target)
    source.delete_topic(RAW)
    with pytest.raises(TopicMissing, match=r"no topic raw .*feed\.topic"):
        feed_all(source, target)


def test_an_outage_at_the_start_is_waited_out() -> None:
    source, target = brokers()
    send(source, 0, [raw(1)])
    for what in ("producer", "end", "begin"):
        target.fail_next(what)
    source.fail_next("end")
    bridge(source, target).run(_NoPause(), once=True)
    assert numbers(target) == [1]


def test_several_channels_and_readings() -> None:
    source, target = brokers(1)
    reading = {"a": 1, "b": None, "t": LAST_TIMESTAMP - 10**12}
    send(source, 0, [json.dumps([reading | {"t": START_MS}, reading]).encode()], b"k")
    chosen = settings({"each": "/*", "value": "/a, /b", "timestamp": "/t"})
    bridge(source, target, chosen, channels=2).run(Event(), once=True)
    assert fed(target) == [(b"k", {"timestamp": START_MS, "value": [1, None]})]
    assert errors(target.read(DEAD)[0].headers)["reading"] == b"/1"


def test_an_error_of_the_broker_that_nothing_cures() -> None:
    source, target = brokers()
    target.fail_next("producer", error=BrokerError("no"))
    with pytest.raises(BrokerError, match="no"):
        feed_all(source, target)
