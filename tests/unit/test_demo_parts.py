from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from eddycast.service.broker.memory.broker import MemoryBroker
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.history import History, read_history
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import HealthServer
from eddycast.service.observability.metrics import Metrics
from eddycast.service.records import Headers
from eddycast.service.settings.output import OutputSettings
from eddycast.training.bundle_directory import install
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.demo.host import write_long
from eddycast.training.demo.live_view import (
    LiveState,
    LiveView,
    StreamLine,
    plain_line,
    training_progress,
)
from eddycast.training.demo.metrics_client import Histogram, parse, scrape
from eddycast.training.demo.output_reader import OutputReader, PassiveListener, Recent
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.driving import drive
from eddycast.training.evaluation.protocols.every_origin import ltsf_tasks
from eddycast.training.evaluation.protocols.task import TaskOptions
from tests.support.bundles import Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
HORIZON = 6


def panel(rows: int = 240, streams: int = 2) -> Panel:
    values = np.cumsum(np.random.default_rng(3).normal(size=(streams, rows)), axis=1) + 50
    return Panel([f"s{i}" for i in range(streams)], START + np.arange(rows) * HOUR, values, HOUR)


class TestScrape:
    def test_a_quantile_is_interpolated_inside_its_bucket(self) -> None:
        histogram = Histogram(np.array([0.1, 0.2, 0.4, np.inf]), np.array([10.0, 10.0, 30.0, 40.0]))
        assert histogram.quantile(0.125) == pytest.approx(0.05)
        assert histogram.quantile(0.5) == pytest.approx(0.3)
        assert histogram.quantile(0.99) == pytest.approx(0.4), (
            "beyond the last finite edge nothing is known"
        )
        assert math.isnan(histogram.since(histogram).quantile(0.5))

    def test_what_the_service_serves_is_read_back(self) -> None:
        metrics = Metrics(CollectorRegistry())
        metrics.records.inc(7)
        metrics.streams.set(3)
        metrics.service_seconds.observe_many([0.002, 0.003, 0.004])
        server = HealthServer("127.0.0.1", 0, metrics.registry, Health(60))
        try:
            snapshot = scrape(server.url)
        finally:
            server.close()
        assert snapshot is not None
        assert (snapshot.records, snapshot.streams, snapshot.forecasts) == (7, 3, 0)
        assert 0.0025 <= snapshot.service.quantile(0.5) <= 0.005
        assert scrape(server.url) is None

    def test_an_empty_page(self) -> None:
        assert math.isnan(
            parse(generate_latest(CollectorRegistry()).decode()).end_to_end.quantile(0.5)
        )


class TestScreen:
    view = LiveState(
        when="2017-02-01 08:00",
        share=0.25,
        streams=2,
        forecasts=1234,
        rate=96.4,
        p50=0.0042,
        p99=float("nan"),
        lines=[
            StreamLine("buoy", 4.25, [4.1, 4.2, 4.3], [3.0, 4.0, None], 0.5, 1.0),
            StreamLine("cgm", None, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], float("nan"), float("nan")),
        ],
    )

    def test_one_line_says_how_far_how_fast_and_how_good(self) -> None:
        line = plain_line(self.view)
        for part in (
            "25%",
            "2017-02-01 08:00",
            "2 streams",
            "1,234 forecasts",
            "96/s",
            "4.2 ms",
            "0.50 of last value",
        ):
            assert part in line

    def test_without_a_terminal_lines_come_every_few_seconds_and_hold_no_control_codes(
        self,
    ) -> None:
        console = Console(file=io.StringIO(), width=120)
        with LiveView(console, "1d") as live:
            for _ in range(5):
                live.show(self.view)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert text.count("2017-02-01") == 1
        assert "\x1b" not in text

    def test_on_a_terminal_each_stream_has_a_row(self) -> None:
        console = Console(file=io.StringIO(), width=140, force_terminal=True)
        with LiveView(console, "1d") as live:
            live.show(self.view)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "4.2 (4.1 to 4.3)" in text
        assert "4 (3 to -)" in text
        assert "cgm" in text

    def test_training_without_a_terminal_says_a_line_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("eddycast.training.demo.live_view.EVERY_S", 0.0)
        console = Console(file=io.StringIO(), width=120)
        with training_progress(console, "training x") as report:
            report(3, 130, 0.25, 0.2)
        assert "training x: 3/130, loss 0.25, best 0.2" in console.file.getvalue()  # type: ignore[attr-defined]


class TestRecent:
    def test_a_forecast_is_judged_when_its_last_target_has_come(self) -> None:
        data = panel()
        recent = Recent(data, HORIZON)
        rows = np.arange(100)
        recent.add(np.zeros(100, np.int64), rows, np.full((100, HORIZON), 51.0))
        assert all(math.isnan(error) for error in recent.errors(0, HORIZON - 1))
        error, naive = recent.errors(0, HORIZON)
        target = data.values[0, 1 : HORIZON + 1]
        assert error == pytest.approx(np.abs(target - 51).mean())
        assert naive == pytest.approx(np.abs(target - data.values[0, 0]).mean())
        assert all(math.isnan(error) for error in recent.errors(1, 100))

    def test_old_forecasts_are_forgotten(self) -> None:
        recent = Recent(panel(), HORIZON)
        recent.add(np.array([0]), np.array([0]), np.full((1, HORIZON), 51.0))
        assert not math.isnan(recent.errors(0, 50)[0])
        assert math.isnan(recent.errors(0, 200)[0])


class TestWatch:
    """The reader computes the same figures from the output topic as a backtest from the bundle."""

    split = Split(120, 160, 240)

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        write_bundle(tmp_path / "walk", Walk(interval_ms=HOUR, horizon=HORIZON))
        return tmp_path / "walk"

    def publish(self, broker: MemoryBroker, bundle: Path, data: Panel) -> int:
        """All forecasts of the panel as the service would write them; how many."""
        runtime, count = load_runtime(bundle), 0
        broker.admin().create_topic("forecasts", 2)
        encoder, producer = (
            Encoder(runtime.manifest, OutputSettings(digits="all")),
            broker.producer(),
        )
        for chunk in drive(runtime, data, np.arange(len(data))):
            keys: Sequence[bytes] = [data.streams[i].encode() for i in chunk.stream]
            values = data.values[chunk.stream, chunk.row][:, None]
            nothing = np.zeros(len(keys), np.float32)
            one_step, everywhere = chunk.one_step[:, None], nothing == 0
            columns = ForecastColumns(
                keys,
                data.timestamps[chunk.row],
                values,
                one_step,
                chunk.multi_step[:, :, None],
                has_multi=everywhere,
                expected=one_step,
                error=nothing[:, None],
                surprise=nothing,
                anomaly=nothing,
                warm=everywhere,
            )
            records = encoder.encode(columns)
            headers: Sequence[Headers] | None = None
            for partition in (0, 1):
                here = [i for i, key in enumerate(keys) if int(key[-1:]) % 2 == partition]
                producer.produce(
                    "forecasts",
                    partition,
                    [keys[i] for i in here],
                    [records[i] for i in here],
                    headers,
                )
            producer.flush(1.0)
            count += len(keys)
        return count

    def test_figures_are_those_of_a_backtest(self, bundle: Path) -> None:
        data, broker = panel(), MemoryBroker()
        count = self.publish(broker, bundle, data)
        consumer = broker.consumer("forecasts", "reader", PassiveListener())
        reader = OutputReader(
            consumer,
            read_manifest(bundle),
            ltsf_tasks(data, TaskOptions.of(read_manifest(bundle), self.split, DAY)),
        )
        while reader.received < count:
            assert reader.poll(1.0)
        expected = backtest(bundle, data, "ltsf", self.split, season_ms=DAY, per_stream=True)
        expected = [
            figure for figure in expected if figure.horizon == HORIZON or figure.stream is None
        ]
        for figure, same in zip(reader.figures(), expected, strict=True):
            assert (figure.model, figure.horizon, figure.origins, figure.stream) == (
                same.model,
                same.horizon,
                same.origins,
                same.stream,
            )
            assert figure.mse == pytest.approx(same.mse)
            assert figure.wql == pytest.approx(same.wql)
        assert reader.now_ms == data.timestamps[-1]
        assert set(reader.last) == {"s0", "s1"}
        for _, error, naive in reader.running():
            assert 0 < error < 10
            assert 0 < naive < 10


class TestHost:
    def test_publishing_writes_the_manifest_last_and_replaces_what_was_there(
        self, tmp_path: Path
    ) -> None:
        write_bundle(tmp_path / "a", Walk())
        write_bundle(tmp_path / "b", Walk(horizon=5))
        for source, horizon in (("a", 3), ("b", 5)):
            install(tmp_path / source, tmp_path / "published")
            assert load_runtime(tmp_path / "published").manifest.horizon == horizon

    def test_readings_written_for_another_process_are_read_back_the_same(
        self, tmp_path: Path
    ) -> None:
        stamps = [np.array([10, 30], np.int64) + START, np.array([20], np.int64) + START]
        history = History(["a", "b"], stamps, [np.array([1.5, np.nan]), np.array([2.0])], [])
        write_long(history, tmp_path / "readings.parquet")
        assert pl.read_parquet(tmp_path / "readings.parquet").columns == [
            "stream",
            "timestamp",
            "value",
        ]
        again = read_history(tmp_path / "readings.parquet")
        assert again.streams == ["a", "b"]
        np.testing.assert_array_equal(again.values[0], [1.5, np.nan])
        assert again.timestamps[0].tolist() == stamps[0].tolist()
