"""`feed http` over the in-process broker, through a real port."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx2 as httpx
import pytest

from eddycast.service.bridges.http_bodies import MAX_BODY_BYTES
from eddycast.service.bridges.http_feed import HttpFeed
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import AddressInUse, BrokerError, ProduceFailed
from eddycast.service.settings.settings import Settings
from tests.chaos.fleet import await_true
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT

PATIENCE_S = 60.0
TOKEN = "correct horse"
LINES = "application/x-ndjson"


def bridge(broker: FaultyBroker, mapping: dict[str, Any] | None = None, **feed: Any) -> HttpFeed:
    chosen = Settings.model_validate({"input": mapping or {}, "feed": {"port": 0} | feed})
    return HttpFeed(broker, chosen, 1, CrashPoint())


@contextmanager
def serving(subject: HttpFeed) -> Iterator[httpx.Client]:
    """A client of the bridge, which runs while the block lasts."""
    stop, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            subject.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=work, name="bridge")
    thread.start()
    try:
        await_true(lambda: subject.url or raised, PATIENCE_S, "it does not serve")
        with httpx.Client(base_url=subject.url or "http://nowhere", timeout=PATIENCE_S) as client:
            yield client
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    if raised:
        raise raised[0]


def records(broker: FaultyBroker) -> list[tuple[bytes | None, Any]]:
    return [(r.key, json.loads(r.value or b"null")) for r in broker.read(INPUT)]


def test_a_reading_is_there_when_the_answer_comes() -> None:
    broker = FaultyBroker()
    with serving(bridge(broker)) as client:
        answer = client.post(
            "/records/boiler-7", content=b'{"timestamp": 1700000000000, "value": 1}'
        )
        assert records(broker) == [(b"boiler-7", {"timestamp": 1700000000000, "value": 1})]
        assert (answer.status_code, answer.json()) == (200, {"readings": 1, "filtered": 0})
        assert client.get("/health").json() == {"ok": True}


def test_a_mapping_and_headers_of_events() -> None:
    broker = FaultyBroker()
    headers = {"ce-source": "plant/1", "traceparent": "00-1", "x-other": "no"}
    with serving(bridge(broker, {"preset": "cloudevents"})) as client:
        assert client.post("/records", content=b'{"value": 2}', headers=headers).is_success
    (record,) = broker.read(INPUT)
    assert record.key == b"plant/1"
    assert record.headers == [("ce_source", b"plant/1"), ("traceparent", b"00-1")]


@pytest.mark.parametrize("path", ["/write", "/api/v2/write"])
def test_line_protocol_as_influxdb_takes_it(path: str) -> None:
    broker = FaultyBroker()
    lines = "".join(f"cpu,host=a v={n} {1_700_000_000 + n}000000000\n" for n in range(600))
    with serving(bridge(broker)) as client:
        packed = gzip.compress(lines.encode())
        answer = client.post(
            path + "?bucket=b&precision=ns", content=packed, headers={"Content-Encoding": "gzip"}
        )
        assert (answer.status_code, answer.content) == (204, b"")
    assert [document["value"] for _, document in records(broker)] == list(range(600))
    assert {key for key, _ in records(broker)} == {b"cpu,host=a/v"}


def test_what_cannot_be_read_is_named_and_the_rest_is_taken() -> None:
    broker = FaultyBroker()
    lines = [f"cpu v={n} {1_700_000_000 + n}000000000" for n in range(600)]
    lines[555] = "cpu nonsense"
    with serving(bridge(broker)) as client:
        answer = client.post("/write", content="\n".join(lines).encode())
        assert answer.status_code == 400
        found = answer.json()
        assert (found["readings"], found["refused"], found["code"]) == (599, 1, "invalid")
        assert found["message"].startswith("line 556: ")
        assert found["errors"][0]["error"] == "not_influx"
        assert len(records(broker)) == 599
        many = b'{"value": 1}\n\n{"value": "x"}\n{'
        answer = client.post("/records/s", content=many, headers={"Content-Type": LINES})
        assert [(e["place"], e["error"]) for e in answer.json()["errors"]] == [
            ("line 3", "not_a_number"),
            ("line 4", "not_json"),
        ]
        assert client.post("/records", content=b'{"value": 1}').json()["errors"][0] == {
            "place": "",
            "error": "no_key",
            "reason": "the record has no key; the key names the stream",
            "action": "post to /records/STREAM, or name the stream by input.stream",
        }


@pytest.mark.parametrize(
    ("content", "packing", "status"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), "identity", 413),
        (gzip.compress(b"x" * (MAX_BODY_BYTES + 1), mtime=0), "gzip", 413),
        (gzip.compress(b"x", mtime=0)[:-3], "gzip", 400),
        (b"x", "gzip", 400),
        (b"x", "br", 415),
    ],
)
def test_a_body_that_is_not_read(content: bytes, packing: str, status: int) -> None:
    broker = FaultyBroker()
    with serving(bridge(broker)) as client:
        headers = {"Content-Encoding": packing}
        assert client.post("/write", content=content, headers=headers).status_code == status
    assert records(broker) == []


def test_a_token_is_asked_for() -> None:
    broker = FaultyBroker()
    with serving(bridge(broker, token=TOKEN)) as client:
        for path in ("/records/s", "/write", "/api/v2/write"):
            assert client.post(path, content=b'{"value": 1}').status_code == 401
        for scheme in ("Bearer", "Token"):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert client.post("/records/s", content=b'{"value": 1}', headers=headers).is_success
        assert client.get("/health").is_success
    assert len(records(broker)) == 2


def test_without_kafka_the_sender_is_asked_to_come_again() -> None:
    broker = FaultyBroker()
    with serving(bridge(broker)) as client:
        broker.fail_next("produce", error=ProduceFailed("away"))
        answer = client.post("/records/s", content=b'{"value": 1}')
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/health").status_code == 503
        assert client.post("/records/s", content=b'{"value": 1}').is_success
        assert client.get("/health").is_success
    assert len(records(broker)) == 1


def test_what_waits_is_bounded_and_answered_at_the_stop() -> None:
    broker = FaultyBroker()
    subject = bridge(broker, max_bytes=1_000)
    held, written = threading.Event(), threading.Event()

    def at(place: str) -> None:
        if place == "feed.1":
            written.set()
            held.wait(PATIENCE_S)

    subject._at = at
    body = b'{"value": 1}' + b" " * 700
    answers: list[int] = []

    def post(url: str) -> None:
        answers.append(httpx.post(url, content=body, timeout=PATIENCE_S).status_code)

    with serving(subject) as client:
        first = threading.Thread(target=post, args=(f"{subject.url}/records/s",))
        first.start()
        assert written.wait(PATIENCE_S)
        refused = client.post("/records/s", content=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        threading.Timer(0.3, held.set).start()
    first.join(PATIENCE_S)
    assert answers == [200]
    assert len(records(broker)) == 1


def test_what_a_retry_does_not_cure_ends_the_bridge() -> None:
    broker = FaultyBroker()
    with pytest.raises(BrokerError, match="never"), serving(bridge(broker)) as client:
        broker.fail_next("flush", error=BrokerError("never"))
        assert client.post("/records/s", content=b'{"value": 1}').status_code == 503


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        subject = bridge(FaultyBroker(), port=taken.getsockname()[1])
        with pytest.raises(AddressInUse, match=r"choose another feed\.port"):
            subject.run(threading.Event())
