"""The client of the schema registry, against a server of one answer after the other."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.commands.doctor import examine
from eddycast.service.delivery.schema_registry import SchemaRegistry, reach_schemas
from eddycast.service.errors import SchemaRegistryError, SchemaRegistryUnavailable, SettingsError
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.settings.schema_registry import SchemaRegistrySettings

SCHEMA = {"type": "string"}


@dataclass
class Server:
    """Answers with each of `answers` in turn, then with the last again."""

    answers: list[tuple[int, Any]]
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    def registry(self, **login: Any) -> SchemaRegistry:
        return SchemaRegistry(SchemaRegistrySettings(url=self.url + "/", **login), "forecasts")


@contextmanager
def answering(*answers: tuple[int, Any]) -> Iterator[Server]:
    server = Server(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            login = self.headers["Authorization"] or ""
            server.asked.append((self.path, login, json.loads(body) if body else None))
            status, answer = server.answers[0]
            server.answers = server.answers[1:] or server.answers
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def test_a_schema_is_registered_once_and_read_once(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hünter2\n")
    with answering((200, {"id": 7}), (200, {"schema": json.dumps(SCHEMA)})) as server:
        registry = server.registry(username="ann", password_file=secret)
        assert [registry.id_of(SCHEMA), registry.id_of(dict(SCHEMA))] == [7, 7]
        assert [registry.schema_of(7), registry.schema_of(7)] == [SCHEMA, SCHEMA]
    login = "Basic " + base64.b64encode("ann:hünter2".encode()).decode()
    assert server.asked == [
        ("/subjects/forecasts-value/versions", login, {"schema": json.dumps(SCHEMA)}),
        ("/schemas/ids/7", login, None),
    ]


def test_schemas_of_the_forecasts_are_counted_and_none_is_no_error() -> None:
    with answering((404, {"error_code": 40401}), (200, [1, 2])) as server:
        registry = server.registry()
        assert [registry.versions(), registry.versions()] == [0, 2]


def test_a_schema_of_another_kind_is_none() -> None:
    with answering((200, {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})) as server:
        assert server.registry().schema_of(3) is None


def test_the_doctor_examines_the_registry() -> None:
    flags = ["--output.format=avro", "--http.port=0", "--kafka.bootstrap_servers=127.0.0.1:1"]
    with answering((200, [1]), (401, "")) as server:
        flags.append(f"--schema_registry.url={server.url}")
        well, wrong = (
            {finding.what: finding for finding in examine(flags)}["schema registry"]
            for _ in range(2)
        )
    assert well.well and "holds 1 schema" in well.found
    assert not wrong.well and "HTTP 401" in wrong.found and wrong.action


UNKNOWN = (404, {"error_code": 40403, "message": "no such schema"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only pauses move."""
    now = [0.0]
    module = "eddycast.service.delivery.schema_registry"
    monkeypatch.setattr(f"{module}.monotonic", lambda: now[0])
    monkeypatch.setattr(f"{module}.sleep", lambda seconds: now.append(now.pop() + seconds))
    return now


def test_an_id_that_the_registry_does_not_know_is_no_error(clock: list[float]) -> None:
    with answering(UNKNOWN) as server:
        registry = server.registry()
        assert registry.schema_of(9) is None and registry.schema_of(9) is None
        assert len(server.asked) == 3, "again after a pause, then not for a while"
        for foreign in range(100, 120):
            registry.schema_of(foreign)
        assert len(server.asked) < 50, "many unknown ids are not waited for"


def test_a_registry_may_learn_of_a_schema_after_its_records_are_read(clock: list[float]) -> None:
    known = (200, {"schema": json.dumps(SCHEMA)})
    with answering(UNKNOWN, known) as server:
        assert server.registry().schema_of(9) == SCHEMA
    with answering(UNKNOWN, UNKNOWN, UNKNOWN, known) as server:
        registry = server.registry()
        reader = AvroReader(registry.schema_of)
        with pytest.raises(ValueError, match="has the id 9"):
            reader.read(b"\0\0\0\0\x09\x02a")
        clock[0] += 60.0
        assert registry.schema_of(9) == SCHEMA


@pytest.mark.parametrize(
    ("status", "answer", "what"),
    [
        (409, {"error_code": 409, "message": "a: int"}, "forecasts-value as incompatible"),
        (401, "", "HTTP 401"),
        (403, {"message": "hunter2"}, "HTTP 403"),
        (422, {"message": "Invalid schema"}, "HTTP 422: Invalid schema"),
        (404, "<html>", "is no schema registry"),
        (200, "<html>", "is no schema registry"),
        (200, {"number": 1}, "is no schema registry"),
        (302, "", "HTTP 302"),
    ],
)
def test_what_a_retry_does_not_cure_is_an_error(status: int, answer: Any, what: str) -> None:
    with answering((status, answer)) as server, pytest.raises(SchemaRegistryError) as error:
        server.registry(username="ann", password="hunter2").id_of(SCHEMA)
    assert what in error.value.what and error.value.action and not error.value.retriable
    assert "hunter2" not in str(error.value) and len(server.asked) == 1


def test_a_registry_that_is_away_is_waited_for_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    with answering((503, {"message": "no leader"}), (429, ""), (200, {"id": 3})) as server:
        registry = server.registry()
        assert reach_schemas(lambda: registry.id_of(SCHEMA), threading.Event(), said.append, 0.0)
    assert said == ["the schema registry"] * 2 and registry.id_of(SCHEMA) == 3
    lines = capsys.readouterr().out
    assert "waiting for the schema registry" in lines and "no leader" in lines
    with pytest.raises(SchemaRegistryUnavailable, match=r"does not answer: .*refused"):
        server.registry().id_of(SCHEMA)


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()

    def away() -> None:
        stop.set()
        raise SchemaRegistryUnavailable("away")

    assert not reach_schemas(away, stop, lambda _: None)


def test_without_a_registry_avro_cannot_be_read() -> None:
    registry = SchemaRegistry(SchemaRegistrySettings(), "forecasts")
    with pytest.raises(SettingsError, match=r"schema_registry\.url"):
        registry.schema_of(1)
