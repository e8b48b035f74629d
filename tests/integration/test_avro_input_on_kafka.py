"""Readings in Avro on a real Kafka, their schemas in a real schema registry."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from eddycast.service.__main__ import run
from eddycast.service.app import Service
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.chaos.fleet import await_true
from tests.integration.test_avro_on_kafka import PATIENCE_S, beside
from tests.support.avro_shapes import encoded, record_of
from tests.support.bundles import START_MS
from tests.support.processes import MINUTE, Site
from tests.support.schema_registry import SchemaRegistryServer

pytestmark = pytest.mark.kafka
STREAMS, MINUTES = 4, 10
FIRST = record_of("Reading", at="long", device="string", celsius=["null", "double"])
#: The same with a field more, as a sender writes after an update.
SECOND = record_of("Reading", rack="int", at="long", device="string", celsius=["null", "double"])
MAPPING = [
    "--input.format=avro",
    "--input.stream={device}",
    "--input.value=/celsius",
    "--input.timestamp=/at",
]


def produce(site: Site, topic: str, values: list[tuple[int, bytes, bytes]]) -> None:
    settings = KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)
    with closing(KafkaBroker(settings).producer()) as producer:
        for partition, key, value in values:
            producer.produce(topic, partition, [key], [value])
        producer.flush(60.0)


def test_avro_is_read_as_json_is(
    site: Site, schema_registry: SchemaRegistryServer, tmp_path: Path
) -> None:
    """Records of two versions of a schema, one of an unknown one, and a registry that is away for a
    while: no forecast differs and none is missing, and the archive has the same readings."""
    schema_registry.start()
    ids = [schema_registry.register(f"{site.input}-value", own) for own in (FIRST, SECOND)]
    avro, plain = [], []
    for minute in range(MINUTES):
        for number in range(STREAMS):
            at, value = START_MS + minute * MINUTE, 10.0 * number + minute % 7
            record = {"at": at, "device": f"stream-{number}", "celsius": value, "rack": 3}
            which = minute % 2
            avro.append((number % 2, b"x", encoded((FIRST, SECOND)[which], record, ids[which])))
            text = json.dumps({"timestamp": at, "value": value}).encode()
            plain.append((number % 2, b"stream-%d" % number, text))
    unknown = encoded(FIRST, {"at": START_MS, "device": "d", "celsius": 1.0}, 4711)
    texts = f"{site.name}-texts"
    servers = KafkaSettings(bootstrap_servers=site.kafka.bootstrap_servers)
    with KafkaBroker(servers).admin() as admin:
        for topic in (texts, f"{texts}-forecasts", site.output):
            admin.create_topic(topic, 2)
    produce(site, texts, plain)
    produce(site, site.input, [*avro[:12], (0, b"x", unknown), *avro[12:]])
    own = ["--kafka.group", texts, "--topics.input", texts, "--topics.output", f"{texts}-forecasts"]
    with beside(Service(site.settings(*own))):
        site.await_forecasts(len(plain), output=f"{texts}-forecasts")
    registry = f"--schema_registry.url={schema_registry.url}"
    away = site.settings("--schema_registry.url=http://127.0.0.1:9", *MAPPING)
    waiting = Service(away)
    with beside(waiting):
        count = waiting.metrics.registry.get_sample_value

        def has_retried() -> bool:
            labels = {"error": "SchemaRegistryUnavailable"}
            return (count("eddycast_retries_total", labels) or 0) > 0

        await_true(has_retried, PATIENCE_S, "it does not try again")
    assert site.read(site.output) == []
    service = Service(site.settings(registry, *MAPPING))
    with beside(service):
        site.await_forecasts(len(avro))
    letters = {"error": "unknown_schema"}
    found = service.metrics.registry.get_sample_value("eddycast_dead_letters_total", letters)
    assert found == 1
    expected = site.read(f"{texts}-forecasts")
    assert site.read(site.output) == expected
    places = {"kafka.bootstrap_servers": site.kafka.bootstrap_servers, "topics.input": site.input}
    flags = [f"--{name}={value}" for name, value in places.items()]
    flags += [registry, f"--archive.directory={tmp_path}", *MAPPING]
    assert run(["archive", "--channels=1", "--once", *flags]) == 0
    frame = pl.read_parquet([str(path) for path in tmp_path.rglob("[0-9]*.parquet")])
    assert len(frame) == len(avro)


def test_the_commands_read_avro_as_well(
    site: Site, schema_registry: SchemaRegistryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    schema_registry.start()
    number = schema_registry.register(f"{site.input}-value", FIRST)
    record = {"at": START_MS, "device": "pump", "celsius": 20.5}
    produce(site, site.input, [(0, b"x", encoded(FIRST, record, number))])
    flags = [
        f"--kafka.bootstrap_servers={site.kafka.bootstrap_servers}",
        f"--topics.input={site.input}",
        f"--schema_registry.url={schema_registry.url}",
    ]
    assert run(["input", "guess", *flags]) == 0
    guessed = capsys.readouterr().out
    assert 'format = "avro"' in guessed and 'value = "/celsius"' in guessed
    assert run(["input", "try", *flags, *MAPPING]) == 0
    tried = capsys.readouterr().out
    assert "pump" in tried and "20.5" in tried and "1 reading" in tried
