"""Forecasts in Avro on a real Kafka, their schema in a real schema registry."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eddycast.service.__main__ import run
from eddycast.service.app import Service
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.errors import SchemaRegistryError
from eddycast.service.formats.avro_frame import FRAME
from eddycast.service.monitor.run import Monitor
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import await_true
from tests.support.processes import Site
from tests.support.schema_registry import SchemaRegistryServer
from tests.unit.test_avro import as_json, decoded, singles

pytestmark = pytest.mark.kafka
PATIENCE_S = 180.0
FORECASTS = 40  # of four streams


@contextmanager
def beside(target: Service | Monitor) -> Iterator[threading.Thread]:
    """Runs in a thread while the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=target.run, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def avro(server: SchemaRegistryServer) -> list[str]:
    return ["--output.format", "avro", "--schema_registry.url", server.url]


def archived(site: Site, directory: Path, topic: str, *flags: str) -> pl.DataFrame:
    """The forecasts of a topic as `eddycast archive` writes them."""
    places = {"kafka.bootstrap_servers": site.kafka.bootstrap_servers, "topics.output": topic}
    given = [f"--{name}={value}" for name, value in places.items()]
    given += [f"--archive.directory={directory}", *flags]
    assert run(["archive", "--forecasts", "--once", *given]) == 0
    frame = pl.read_parquet([str(path) for path in directory.rglob("[0-9]*.parquet")])
    return frame.sort("stream", "timestamp").drop("offset", "record_time")


def test_every_reader_finds_in_avro_what_it_finds_in_json(
    site: Site, schema_registry: SchemaRegistryServer, tmp_path: Path
) -> None:
    """The service starts before the registry, and waits for it."""
    site.feed(range(FORECASTS // 4))
    texts = f"{site.output}-json"
    servers = KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)
    with KafkaBroker(servers).admin() as admin:
        for topic in (site.output, texts):
            admin.create_topic(topic, 2)
    own = ["--kafka.group", f"{site.name}-json", "--topics.output", texts, "--output.digits=all"]
    with beside(Service(site.settings(*own))):
        site.await_forecasts(FORECASTS, output=texts)
    service = Service(site.settings(*avro(schema_registry), "--output.compression=zstd"))
    with beside(service):
        away = (False, "the schema registry")
        await_true(lambda: service.health.ready_answer() == away, PATIENCE_S, "it does not wait")
        schema_registry.start()
        site.await_forecasts(FORECASTS)
    found = {record[1:] for record in site.read(site.output)}
    assert schema_registry.ask("/subjects") == [f"{site.output}-value"]
    compare(found, {record[1:] for record in site.read(texts)}, schema_registry)
    registry = f"--schema_registry.url={schema_registry.url}"
    rows = archived(site, tmp_path / "avro", site.output, registry)
    same = rows.equals(archived(site, tmp_path / "json", texts))
    assert len(rows) == FORECASTS and same
    monitor = Monitor(site.settings(registry, "--monitor.port=0"))
    with beside(monitor):
        await_true(lambda: monitor.board.records == FORECASTS, PATIENCE_S, "not all are read")
    assert monitor.board.unreadable == 0
    assert run(["archive", "--forecasts", "--once", f"--topics.output={site.output}"]) != 0


def compare(
    found: set[tuple[bytes | None, bytes | None]],
    texts: set[tuple[bytes | None, bytes | None]],
    server: SchemaRegistryServer,
) -> None:
    """Keys and records are equal, to the precision of float32."""
    records: list[tuple[bytes, Any]] = []
    for key, value in found:
        assert key is not None and value is not None
        schema_id = FRAME.unpack_from(value)[1]
        schema = json.loads(server.ask(f"/schemas/ids/{schema_id}")["schema"])
        records.append((key, singles(as_json(decoded(value, schema, schema_id)))))
    expected = [(key, singles(json.loads(text or b""))) for key, text in texts]
    order = repr
    assert sorted(records, key=order) == sorted(expected, key=order)


def test_a_schema_that_does_not_follow_the_one_before_ends_the_start_with_a_line(
    site: Site, schema_registry: SchemaRegistryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    schema_registry.start()
    schema_registry.ask("/config", {"compatibility": "BACKWARD"}, "PUT")
    other = {"type": "record", "name": "Order", "fields": [{"name": "sum", "type": "int"}]}
    schema_registry.register(f"{site.output}-value", other)
    flags = [
        f"--{name.lower().replace('__', '.')}={value}" for name, value in site.variables.items()
    ]
    assert run(["serve", *flags, *avro(schema_registry)]) == SchemaRegistryError.exit_code
    ended = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert (ended["event"], ended["exit_code"]) == ("ended", SchemaRegistryError.exit_code)
    assert f"refuses the schema of {site.output}-value as incompatible" in ended["reason"]
    assert "topics.output" in ended["action"]
