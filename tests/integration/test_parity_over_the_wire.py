"""Every number on the output topic is the trainer's:
torch's `unroll` against what came through Kafka.

A gru is trained and exported; its hold-out goes through a real Kafka to two workers of one group,
each a process of its own, and every forecast is compared with what torch makes of the same history
in one pass.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.history import read_history
from eddycast.service.history.merging import merge
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.settings import PREFIX
from eddycast.service.simulation import Sensors
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.split import Split
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.fitting.families import Plan, fit_family
from eddycast.training.fitting.recurrent import Schedule
from eddycast.training.models import Forecaster
from eddycast.training.problems import problem_of
from eddycast.training.recipe import Recipe
from tests.support.scrape import sample
from tests.support.shared import SHARED, needs_shared_data

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

PARTITIONS, WORKERS = 4, 2
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Trained:
    model: Forecaster
    bundle: Path
    holdout: Panel


def train(panel: Panel, split: Split, directory: Path) -> Trained:
    """A gru with a linear path, trained briefly:
    parity needs weights other than zero, not good ones."""
    recipe = Recipe(family="gru", horizon=24, seasons_ms=(DAY_MS,), quantiles=(0.1, 0.5, 0.9))
    model = fit_family(
        "gru",
        problem_of(panel, recipe, split),
        Plan(schedules=lambda _: Schedule(epochs=1, iterations=12)),
    )
    export_bundle(model, Identity("gru"), directory)
    return Trained(model, directory, panel.rows(split.validation_end, split.end))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that the test starts; ended as a person would end them, and each must end well."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
    codes = [process.wait(90) for process in started]
    assert codes == [0] * len(started), (tmp_path / "worker-0.log").read_text()[-2000:]


def serve(
    kafka: KafkaServer, topics: dict[str, str], bundle: Path, log: Path
) -> tuple[subprocess.Popen[bytes], str]:
    """Start one worker; returns it and the address of its metrics, once they are served."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    variables = {
        "BUNDLE__DIRECTORY": str(bundle),
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__GROUP": topics["input"],
        "HTTP__PORT": "0",
        "OUTPUT__DIGITS": "all",
        "LOG__FORMAT": "json",
        **{f"TOPICS__{name.upper()}": topic for name, topic in topics.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "eddycast.service", "serve"],
            env=inherited | {PREFIX + name: value for name, value in variables.items()},
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
        )
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if url := json.loads(line).get("url"):
                return process, str(url)
        time.sleep(0.1)
    raise AssertionError(f"the worker did not start: {log.read_text()}")


def stream(
    kafka: KafkaServer, trained: Trained, workers: list[subprocess.Popen[bytes]], logs: Path
) -> list[dict[str, Any]]:
    """The hold-out through Kafka and two workers; the records of the output topic."""
    run = uuid.uuid4().hex[:8]
    topics = {name: f"{name}-{run}" for name in ("input", "output", "dead_letters")}
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers))
    admin = broker.admin()
    for topic in topics.values():
        admin.create_topic(topic, PARTITIONS)
    admin.close()
    urls = []
    for number in range(WORKERS):
        process, url = serve(kafka, topics, trained.bundle, logs / f"worker-{number}.log")
        workers.append(process)
        urls.append(url)
    until = time.monotonic() + 60
    while any(sample(url, "partitions") != PARTITIONS / WORKERS for url in urls):
        assert time.monotonic() < until, "the workers did not share the partitions"
        time.sleep(0.2)

    readings = merge(trained.holdout.history())
    producer = broker.producer()
    sensors = Sensors(producer, topics["input"], PARTITIONS, readings)
    for start in range(0, len(readings), 1000):
        sensors.send(slice(start, start + 1000), 30.0)
    producer.close(5)
    records = read_all(broker, topics["output"], len(readings))
    assert all(sample(url, "forecasts_total") > 0 for url in urls), "both workers had a share"
    return records


def read_all(broker: KafkaBroker, topic: str, count: int) -> list[dict[str, Any]]:
    """Everything on the topic, once `count` records are there; waits a little for one too many."""

    class Nothing:
        def assigned(self, partitions: object) -> None: ...

        def revoked(self, partitions: object) -> None: ...

        def lost(self, partitions: object) -> None: ...

    consumer = broker.consumer(topic, f"reader-{topic}", Nothing())
    values: list[bytes | None] = []
    until, quiet = time.monotonic() + 90, 0
    while time.monotonic() < until and quiet < 3:
        got = [value for batch in consumer.poll(0.5, 5000) for value in batch.values]
        values += got
        quiet = 0 if got or len(values) < count else quiet + 1
    consumer.close()
    return [json.loads(value or b"null") for value in values]


def compare(trained: Trained, records: list[dict[str, Any]]) -> None:
    """Every reading has one forecast, and each is torch's."""
    panel = trained.holdout
    values = np.ascontiguousarray(panel.values.T)
    torch = trained.model.unroll(values, panel.timestamps)
    place = {
        (name, int(t)): (i, s)
        for s, name in enumerate(panel.streams)
        for i, t in enumerate(panel.timestamps)
    }
    at = [place[record["stream"], record["timestamp"]] for record in records]
    expected = {(i, s) for i, s in np.argwhere(sent(panel)).tolist()}
    assert len(at) == len(set(at)), "a forecast came twice"
    assert set(at) == expected, "every reading has a forecast"
    i, s = np.array(at).T
    scale = torch.scale[i, s]
    unit = np.where(scale > 0, scale, 1.0)
    close([r["one_step"] for r in records], torch.one_step[i, s], 1e-4, unit[:, None])
    close([r["multi_step"] for r in records], torch.multi_step[i, s], 1e-4, unit[:, None, None])
    close([r["surprise"] for r in records], torch.surprise[i, s], 1e-2)
    close([r["anomaly"] for r in records], torch.anomaly[i, s], 1e-2)
    close([r["value"] for r in records], values[i, s], 0.0)
    pending = np.where((i > 0)[:, None], torch.one_step[i - 1, s], np.nan)
    nothing = [None] * pending.shape[1]
    close([r["expected"] or nothing for r in records], pending, 1e-4, unit[:, None])
    missed = values[i, s] - pending[:, trained.model.target.median]
    close([r["error"] for r in records], missed, 1e-4, unit)
    assert np.isfinite(torch.multi_step[i, s]).mean() > 0.9, "the comparison is of numbers"


def sent(panel: Panel) -> NDArray[np.bool_]:
    """[T, streams]: the cells that `Panel.history` makes a reading of."""
    history = panel.history()
    cells = np.zeros(panel.values.T.shape, bool)
    for name, stamps in zip(history.streams, history.timestamps, strict=True):
        rows = (stamps - panel.timestamps[0]) // panel.interval_ms
        cells[rows, panel.streams.index(name)] = True
    return cells


def close(
    found: list[Any], expected: NDArray[Any], tolerance: float, unit: NDArray[Any] | float = 1.0
) -> None:
    """null where torch has NaN, and within `tolerance` elsewhere."""
    column = np.array(found, dtype=np.float64)
    assert np.array_equal(np.isnan(column), np.isnan(expected))
    difference = np.abs(column - expected) / unit
    assert not np.any(difference > tolerance), f"largest difference {np.nanmax(difference):.2e}"


@needs_shared_data
def test_etth1_through_kafka_is_what_torch_unrolls(
    kafka: KafkaServer, workers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    panel = make_panel(read_history(SHARED / "ett" / "ETTh1.csv"), 3_600_000)
    trained = train(panel, Split(8640, 11520, 14400), tmp_path / "bundle")
    records = stream(kafka, trained, workers, tmp_path)
    assert len(records) == 7 * 2880
    compare(trained, records)


def test_sensors_with_holes_through_kafka_are_what_torch_unrolls(
    kafka: KafkaServer, workers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Real sensors with real gaps: imputed slots and streams that begin late take the same way."""
    panel = make_panel(read_history("sample:sensors"), 1_800_000)
    glucose = make_panel(read_history("sample:sensors").between(*_glucose_days(panel)), 1_800_000)
    rows = len(glucose)
    trained = train(glucose, Split(rows - 1800, rows - 1200, rows), tmp_path / "bundle")
    compare(trained, stream(kafka, trained, workers, tmp_path))


def _glucose_days(panel: Panel) -> tuple[int, int]:
    """The time in which the glucose sensor was worn."""
    row = panel.streams.index("cgm/glucose")
    seen = np.flatnonzero(~np.isnan(panel.values[row]))
    return int(panel.timestamps[seen[0]]), int(panel.timestamps[seen[-1]]) + panel.interval_ms
