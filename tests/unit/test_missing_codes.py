"""Codes for missing values found by training apply to files, backtests and records alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.errors import SettingsError
from eddycast.service.history import ReadOptions, read_for_bundle
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.processing.missing_codes import Codes, MissingCodes
from eddycast.service.records import Observations
from eddycast.service.settings.load import load_settings
from eddycast.training.export.onnx_export import Identity
from tests.support.bundles import TWO_CHANNELS, Walk, write_bundle
from tests.support.running import documents, memory_broker, send, worker
from tests.support.training import train_naive
from tests.support.tuning import Tuning

START = 1_700_006_400_000


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("bundle", ((-200.0,), ())),
        ("none", ((), ())),
        ("-999", ((-999.0, -200.0), (-999.0,))),
        ("-999, -9999", ((-9999.0, -999.0, -200.0), (-9999.0, -999.0))),
        ("none,-999", ((-999.0,), (-999.0,))),
        ("bundle,1e20", ((-200.0, 1e20), (1e20,))),
        ("", ((-200.0,), ())),
    ],
)
def test_a_setting_adds_to_the_bundle_s_codes_or_drops_them(setting: str, expected: Codes) -> None:
    settings = load_settings([f"--input.codes={setting}"], {})
    assert settings.input.chosen_codes(((-200.0,), ()), 2) == expected


@pytest.mark.parametrize("setting", ["unavailable", "-999;-9999", "nan", "1e999"])
def test_a_code_that_is_no_number_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="input"):
        load_settings([f"--input.codes={setting}"], {})


def observed(*rows: tuple[float, ...]) -> Observations:
    stamps = np.arange(len(rows), dtype=np.int64)
    return Observations(0, [b"s"] * len(rows), stamps, np.array(rows), stamps, stamps)


def test_codes_are_cleared_by_channel_and_counted() -> None:
    given = observed((-200.0, 1.0), (2.0, -200.0), (-999.0, 3.0), (np.nan, 4.0))
    cleared, count = MissingCodes(((-200.0, -999.0), ())).clear([given])
    assert count == 2
    np.testing.assert_array_equal(cleared[0].values[:, 0], [np.nan, 2.0, np.nan, np.nan])
    np.testing.assert_array_equal(cleared[0].values[:, 1], [1.0, -200.0, 3.0, 4.0])
    assert given.values[0, 0] == -200.0, "what was given stays"


def test_without_codes_nothing_is_touched() -> None:
    given = [observed((-200.0,))]
    assert MissingCodes(()).clear(given) == (given, 0)
    assert MissingCodes(((), ())).clear(given)[0] is given
    assert MissingCodes(((-1.0,),)).clear(given)[0][0] is given[0]


def served(
    folder: Path, walk: Walk, values: list[object], codes: str = "bundle"
) -> tuple[list[bytes], float]:
    """Return the outputs of a service for values of one stream, and its count of codes."""
    write_bundle(folder, walk)
    broker = memory_broker()
    send(
        broker,
        [
            (0, b"s", {"timestamp": START + 60_000 * i, "value": value})
            for i, value in enumerate(values)
        ],
    )
    subject = worker(broker, load_runtime(folder), Tuning(codes=codes))
    subject.turn(20)
    subject.finish()
    texts = [json.dumps({**document, "model": ""}).encode() for document in documents(broker)]
    return texts, subject.value("missing_codes_total")


KNOWS = Walk(fields={"codes": ((-200.0,),)})


def test_a_code_is_served_as_a_missing_value(tmp_path: Path) -> None:
    with_codes = served(tmp_path / "a", KNOWS, [20.0, -200.0, 21.0, -200, 22.0])
    with_nulls = served(tmp_path / "b", KNOWS, [20.0, None, 21.0, None, 22.0])
    assert with_codes[0] == with_nulls[0]
    assert (with_codes[1], with_nulls[1]) == (2, 0)


def test_a_code_of_one_channel_is_a_reading_in_another(tmp_path: Path) -> None:
    walk = Walk(
        channels=TWO_CHANNELS.channels,
        targets=TWO_CHANNELS.targets,
        fields={"codes": ((-200.0,), ())},
    )
    texts, count = served(tmp_path, walk, [[1.0, 2.0], [-200.0, -200.0]])
    assert json.loads(texts[1])["value"] == [None, -200.0]
    assert count == 1


def test_codes_can_be_dropped_and_added(tmp_path: Path) -> None:
    dropped, count = served(tmp_path / "a", KNOWS, [20.0, -200.0], "none")
    assert json.loads(dropped[1])["value"] == -200.0
    assert count == 0
    added, count = served(tmp_path / "b", Walk(), [20.0, -77.0], "-77")
    assert json.loads(added[1])["value"] is None
    assert count == 1


def history(path: Path, codes: dict[str, list[float]], counter: bool = False) -> Path:
    """300 readings, one per minute, of streams a and b;
    each code occurs ten times in its stream."""
    random = np.random.default_rng(5)
    columns = {}
    for name in ("a", "b"):
        steps = random.normal(0, 1, 300)
        columns[name] = 50 + (np.abs(steps).cumsum() if counter else steps.cumsum())
        for place, code in enumerate(codes.get(name, [])):
            columns[name][10 + place :: 30] = code
    rows = (
        f"{START + i * 60_000},{a:.3f},{b:.3f}"
        for i, (a, b) in enumerate(zip(*columns.values(), strict=True))
    )
    path.write_text("\n".join(["timestamp,a,b", *rows]))
    return path


def trained(file: Path, *words: str) -> Codes:
    """Train and return the codes in the manifest."""
    assert run(train_naive(file, file.parent / "bundle", *words)) == 0
    return read_manifest(file.parent / "bundle").codes


class Exported(Exception):
    """Training reached the export, with these codes."""

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.codes = codes


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Codes]:
    """Train without the export, which takes longer than everything before it,
    and return the codes for the manifest."""

    def stop(model: object, identity: Identity, *_: object, **__: object) -> None:
        raise Exported(identity.codes)

    def codes_of(file: Path, *words: str) -> Codes:
        with pytest.raises(Exported) as exported:
            run(train_naive(file, file.parent / "bundle", *words))
        return exported.value.codes

    monkeypatch.setattr("eddycast.training.train.export_bundle", stop)
    return codes_of


@pytest.mark.parametrize(
    ("codes", "words", "expected"),
    [
        ({}, [], ()),
        ({"a": [-200.0]}, [], ((-200.0,),)),
        ({"a": [-200.0], "b": [-9999.0]}, [], ((-9999.0, -200.0),)),
        ({"a": [-200.0]}, ["--not-missing", "-200"], ()),
        ({"a": [-77.0]}, ["--missing", "-77,n/a"], ((-77.0,),)),
        ({"a": [-200.0], "b": [-9999.0]}, ["--channels", "a,b"], ((-200.0,), (-9999.0,))),
        ({"b": [-9999.0]}, ["--channels", "a,b"], ((), (-9999.0,))),
    ],
)
def test_codes_that_training_finds_are_exported(
    tmp_path: Path,
    codes: dict[str, list[float]],
    words: list[str],
    expected: Codes,
    found: Callable[..., Codes],
) -> None:
    assert found(history(tmp_path / "h.csv", codes), *words) == expected


def test_a_number_that_another_stream_reads_is_no_code_for_all(
    tmp_path: Path, found: Callable[..., Codes]
) -> None:
    rows = [f"{START + i * 60_000},{20 + np.sin(i):.2f},{900 + i}" for i in range(300)]
    rows[50] = f"{START + 50 * 60_000},999,950"
    rows[80] = f"{START + 80 * 60_000},20,999"
    path = tmp_path / "h.csv"
    path.write_text("\n".join(["timestamp,a,b", *rows]))
    assert found(path) == ()


def test_a_meter_passes_every_positive_number(tmp_path: Path, found: Callable[..., Codes]) -> None:
    file = history(tmp_path / "h.csv", {"a": [-200.0], "b": [99999.0]}, counter=True)
    assert found(file, "--kind", "counter") == ((-200.0,),)


def test_a_file_is_read_for_a_bundle_as_the_service_reads_records(tmp_path: Path) -> None:
    """Codes of the bundle are missing; other codes in a file are readings, and reported."""
    assert trained(history(tmp_path / "h.csv", {"a": [-200.0]})) == ((-200.0,),)
    manifest = read_manifest(tmp_path / "bundle")
    file = history(tmp_path / "other.csv", {"a": [-200.0], "b": [-9999.0]})
    read = read_for_bundle([str(file)], ReadOptions(), manifest)
    assert not (read.values[0] == -200.0).any()
    assert (read.values[1] == -9999.0).sum() == 10
    (note,) = (note for note in read.notes if "-9999" in note)
    assert "input.codes" in note


def test_replay_of_codes_is_replay_of_gaps(tmp_path: Path) -> None:
    file = history(tmp_path / "h.csv", {"a": [-200.0]})
    trained(file)
    (tmp_path / "gaps.csv").write_text(file.read_text().replace(",-200.000,", ",,"))
    for name in ("h", "gaps"):
        words = [
            "replay",
            str(tmp_path / "bundle"),
            str(tmp_path / f"{name}.csv"),
            "--out",
            str(tmp_path / f"{name}.jsonl"),
        ]
        assert run(words) == 0
    assert (tmp_path / "h.jsonl").read_bytes() == (tmp_path / "gaps.jsonl").read_bytes()
