"""A replay gives the same numbers as the service, without a broker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eddycast.service.__main__ import run
from eddycast.service.formats.rounding import rounded
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.replay import ReplayChunk, chunk_rows, replay
from tests.support.bundles import RECURRENT, START_MS, TWO_CHANNELS, Walk, write_bundle
from tests.support.running import documents, memory_broker, send, worker

MINUTE = 60_000
STREAMS = [b"a", b"b", b"c"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return path


@pytest.fixture(scope="module")
def runtime(bundle: Path) -> Runtime:
    return load_runtime(bundle)


def history(steps: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """timestamps, values [n, 1] and stream indexes:
    three streams stored one after the other, with gaps."""
    rng = np.random.default_rng(5)
    stamps, values, index = [], [], []
    for stream in range(3):
        keep = rng.random(steps) < 0.85
        stamps.append(START_MS + np.flatnonzero(keep) * MINUTE + 11 * stream)
        values.append(np.round(rng.normal(0, 3, keep.sum()), 2))
        index.append(np.full(keep.sum(), stream))
    return np.concatenate(stamps), np.concatenate(values)[:, None], np.concatenate(index)


def columns(chunks: list[ReplayChunk]) -> dict[str, np.ndarray]:
    """Return all forecasts by record of the history."""
    order = np.argsort(np.concatenate([chunk.index for chunk in chunks]))
    names = ["one_step", "multi_step", "has_multi", "expected", "error", "surprise", "anomaly"]
    names += ["scores", "warm"]
    return {
        name: np.concatenate([getattr(chunk.forecasts, name) for chunk in chunks])[order]
        for name in names
    }


def test_it_gives_what_the_service_writes(runtime: Runtime) -> None:
    stamps, values, index = history()
    made = columns(list(replay(runtime, STREAMS, stamps, values, index)))
    broker = memory_broker()
    for i in np.argsort(stamps, kind="stable").tolist():
        send(
            broker,
            [(0, STREAMS[index[i]], {"timestamp": int(stamps[i]), "value": float(values[i, 0])})],
        )
    worker(broker, runtime).turn()
    written = {(d["stream"].encode(), d["timestamp"]): d for d in documents(broker)}
    assert len(written) == len(stamps) == len(made["warm"])
    one_step, multi_step = rounded(made["one_step"], made["multi_step"], 3)
    assert multi_step is not None
    for i, stamp in enumerate(stamps.tolist()):
        document = written[STREAMS[index[i]], stamp]
        assert document["one_step"] == one_step[i, 0].tolist()
        assert document["multi_step"] == multi_step[i, :, 0].tolist()
        assert document["warm"] == made["warm"][i]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_change_nothing(runtime: Runtime, chunk: int) -> None:
    stamps, values, index = history()
    whole = columns(list(replay(runtime, STREAMS, stamps, values, index)))
    cut = list(replay(runtime, STREAMS, stamps, values, index, chunk=chunk))
    assert max(len(part.records) for part in cut) <= chunk
    assert all(whole[name].tobytes() == column.tobytes() for name, column in columns(cut).items())


def test_multi_step_where_it_is_wanted(runtime: Runtime) -> None:
    stamps, values, index = history()
    wanted = np.arange(len(stamps)) % 5 == 0
    by_mask = columns(
        list(replay(runtime, STREAMS, stamps, values, index, forecast_at=wanted, chunk=9))
    )
    by_call = columns(
        list(replay(runtime, STREAMS, stamps, values, index, forecast_at=lambda i: i % 5 == 0))
    )
    whole = columns(list(replay(runtime, STREAMS, stamps, values, index)))
    assert by_mask["has_multi"].tolist() == by_call["has_multi"].tolist() == wanted.tolist()
    assert by_mask["multi_step"][wanted].tobytes() == whole["multi_step"][wanted].tobytes()
    assert np.isnan(by_mask["multi_step"][~wanted]).all()
    assert by_mask["one_step"].tobytes() == whole["one_step"].tobytes()
    every = columns(list(replay(runtime, STREAMS, stamps, values, index, forecast_every=4)))
    assert every["has_multi"].sum() == sum(np.bincount(index) // 4)


def test_a_chunk_s_forecasts_fit_in_memory(runtime: Runtime, tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk(horizon=4096))
    long = load_runtime(tmp_path, max_batch=16)
    assert chunk_rows(long) * 4096 * 3 * 8 <= 1 << 25
    assert chunk_rows(runtime) > chunk_rows(long) >= 4 * 16


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "readings.csv"
    lines = ["time,boiler,pump"]
    lines += [f"2024-05-01 00:{i:02}:00,{20 + i % 3},{i if i != 4 else ''}" for i in range(12)]
    path.write_text("\n".join(lines))
    return path


def test_the_command_writes_the_service_s_records(bundle: Path, csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "forecasts.jsonl"
    assert run(["replay", str(bundle), str(csv), "--out", str(out)]) == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["stream"] for record in records[:4]] == ["boiler", "pump"] * 2
    assert len(records) == 24
    assert records[8]["value"] == 21.0 and records[9]["value"] is None
    assert len(records[-1]["multi_step"]) == 3 and records[-1]["warm"]


def test_the_command_writes_parquet(
    bundle: Path, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eddycast.service.processing.replay.chunk_rows", lambda runtime: 7)
    lines, table = tmp_path / "f.jsonl", tmp_path / "f.parquet"
    for out in (lines, table):
        assert (
            run(
                [
                    "replay",
                    str(bundle),
                    str(csv),
                    "--out",
                    str(out),
                    "--forecast-every",
                    "3",
                    "--limit",
                    "20",
                ]
            )
            == 0
        )
    frame, records = (
        pl.read_parquet(table),
        [json.loads(line) for line in lines.read_text().splitlines()],
    )
    assert frame.columns == [
        "stream",
        "timestamp",
        "value",
        "expected",
        "error",
        "one_step",
        "multi_step",
        "surprise",
        "anomaly",
        "warm",
    ]
    assert (
        frame["stream"].to_list() == [record["stream"] for record in records] and len(frame) == 20
    )
    assert frame["timestamp"].dt.epoch("ms").to_list() == [
        record["timestamp"] for record in records
    ]
    np.testing.assert_allclose(
        frame["one_step"].to_list(), [r["one_step"] for r in records], rtol=0, atol=2e-3
    )
    with_multi = [i for i, record in enumerate(records) if record["multi_step"]]
    assert with_multi and len(with_multi) < 8
    for i in with_multi:
        np.testing.assert_allclose(
            frame["multi_step"][i].to_list(), records[i]["multi_step"], rtol=0, atol=2e-3
        )
    assert frame["multi_step"].is_null().to_list() == [
        record["multi_step"] is None for record in records
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "f.jsonl",
        "f.parquet",
        "readings.csv",
    ]


@pytest.mark.parametrize("out", ["forecasts.xlsx", "forecasts"])
def test_an_unknown_format_is_refused_at_once(
    bundle: Path, csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    assert run(["replay", str(bundle), str(csv), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert out in error and ".parquet" in error and ".jsonl" in error


def test_a_file_without_the_bundles_channels_is_refused(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(tmp_path / "two", TWO_CHANNELS)
    assert run(["replay", str(tmp_path / "two"), str(csv), "--out", str(tmp_path / "f.jsonl")]) == 2
    assert "no column 'flow'" in capsys.readouterr().err


def test_a_damaged_bundle_is_refused(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(tmp_path), str(csv), "--out", str(tmp_path / "f.jsonl")]) == 3
    assert "manifest.json" in capsys.readouterr().err
