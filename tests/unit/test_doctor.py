"""The doctor reports beforehand that a service would stop for lack of rows,
and prints its findings verbatim."""

from __future__ import annotations

from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from eddycast.service.commands.doctor import examine, look_at_rows, look_at_state
from eddycast.service.delivery.topic_checks import prepare_topics
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.humanize import one_line
from eddycast.service.model.loading import load_runtime
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import Registry
from eddycast.service.settings.settings import Settings
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.crashing import Fleet
from tests.support.faulty_broker import FaultyBroker
from tests.support.registry import MemoryFolder, promoted, published
from tests.support.running import CHANGELOG, INPUT, memory_broker, send

ROW = 400


@pytest.fixture
def broker() -> FaultyBroker:
    broker = FaultyBroker()
    broker.admin().create_topic(INPUT, 4)
    prepare_topics(broker.admin(), Settings(), ROW)
    return broker


def test_the_champion_of_a_registry_is_examined_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(LocalFolder(tmp_path / "registry"), "walk")
    flags = ["--registry.url", str(tmp_path / "registry"), "--registry.model", "walk"]
    flags += ["--http.port", "0", "--kafka.bootstrap_servers", "127.0.0.1:1"]
    version = published(registry, tmp_path / "bundle", listed(Walk(hidden=4)))
    found = {finding.what: finding for finding in examine(flags)}
    assert not found["registry"].well and "no champion" in found["registry"].found
    promoted(registry, version, above=6)
    found = {finding.what: finding for finding in examine(flags)}
    assert f"walk@{version[:6]} in change 7 of walk" in found["registry"].found


@pytest.mark.parametrize(("number", "well"), [(1, False), (2, False), (3, True)])
def test_a_registry_behind_the_rows_is_wrong(tmp_path: Path, number: int, well: bool) -> None:
    """The rows are of another model's change 2."""
    registry = Registry(MemoryFolder(), "walk")
    old = published(registry, tmp_path / "old", listed(Walk(hidden=4)))
    promoted(registry, old, above=1)
    fleet = Fleet(memory_broker(), registry.load(old), registry=registry)
    fleet.start()
    send(fleet.broker, [(0, b"a", {"timestamp": START_MS, "value": 1.0})])
    fleet.settle()
    walk = listed(Walk(hidden=4, spread=2.0), latent="beef" * 4)
    manifest = write_bundle(tmp_path / "new", walk)
    (found,) = look_at_rows(fleet.broker, Settings(), manifest, 1, number)
    assert found.well is well
    assert well or f"--above {2}" in found.action


def group_line(broker: FaultyBroker) -> tuple[str, str, bool]:
    """The last finding, which is of the group."""
    *_, last = look_at_state(broker, broker.admin(), Settings(), ROW)
    assert last.what == "group eddycast"
    return last.found, last.action, last.well


def test_a_group_without_offsets_is_well(broker: FaultyBroker) -> None:
    found, action, well = group_line(broker)
    assert "earliest" in found and not action and well


def test_offsets_with_rows_behind_them_are_well(broker: FaultyBroker) -> None:
    broker.group(INPUT, "eddycast").committed[1] = 7
    broker.producer().produce(CHANGELOG, 1, [b"a"], [b"row"])
    found, action, well = group_line(broker)
    assert "[1]" in found and CHANGELOG in found and not action and well


@pytest.mark.parametrize("gone", ["emptied", "deleted"])
def test_offsets_without_rows_are_wrong(broker: FaultyBroker, gone: str) -> None:
    broker.group(INPUT, "eddycast").committed |= {0: 3, 1: 7}
    broker.producer().produce(CHANGELOG, 1, [b"a"], [b"row"])
    if gone == "deleted":
        broker.delete_topic(CHANGELOG)
    found, action, well = group_line(broker)
    rowless = [0] if gone == "emptied" else [0, 1]
    assert f"{rowless}" in found and CHANGELOG in found
    assert "another group" in action and not well


def test_what_the_bundle_makes_of_the_rows_is_said_beforehand(tmp_path: Path) -> None:
    shapes = {
        "old": listed(Walk(hidden=4)),
        "again": listed(Walk(hidden=4, spread=2.0), latent="beef" * 4),
        "slow": listed(Walk(hidden=4, interval_ms=900_000), core="beef" * 4),
    }
    manifests = {name: write_bundle(tmp_path / name, walk) for name, walk in shapes.items()}
    fleet = Fleet(memory_broker(2), load_runtime(tmp_path / "old"))
    fleet.start()
    send(fleet.broker, [(p, b"s%d" % p, {"timestamp": START_MS, "value": 1.0}) for p in range(2)])
    fleet.settle()
    label = {name: manifest.label for name, manifest in manifests.items()}
    found = {
        name: [(f.found, f.well) for f in look_at_rows(fleet.broker, Settings(), manifest, 2)]
        for name, manifest in manifests.items()
    }
    ((kept, kept_well),) = found["old"]
    assert kept_well and kept.startswith(f"generation 0, of {label['old']}: ")
    takes = f"{label['again']} takes them over, latent from zeros"
    assert found["again"] == [(f"generation 0, of {label['old']}: {takes}", True)]
    ((refused, well),) = found["slow"]
    assert not well and all(
        f"{label[n]} (interval {ms} ms" in refused
        for n, ms in (("old", "60,000"), ("slow", "900,000"))
    )


@pytest.mark.parametrize(
    "odd", ["[/red]", "[link=http://evil]x[/link]", "\x1b[2J", "\x1b]0;title\x07", "a\nb", "\u202e"]
)
def test_foreign_text_neither_styles_nor_moves_the_terminal(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding(f"topic {odd}", f"found {odd}", f"do {odd}", well=False)
    monkeypatch.setattr("eddycast.service.commands.doctor.examine", lambda _flags: [finding])
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"found {one_line(odd)}" in out
    assert set("\x1b\x07\u202e").isdisjoint(out)


@pytest.mark.parametrize("odd", ["[/red]b", "a\x1b[2J", "a\nb"])
def test_an_error_is_one_line_whatever_a_name_holds(
    odd: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["doctor", "--bundle.directory", str(tmp_path / odd), "--http.port=0"],
        ["bundle", "show", odd],
    ):
        run(words)
        out, err = capsys.readouterr()
        assert len(err.splitlines()) <= 1
        assert "\x1b" not in out + err


@pytest.mark.parametrize(
    ("flags", "found", "well"),
    [
        ([], "plain", True),
        (["--input.preset", "telegraf"], "fits", True),
        (["--input.value", "/a, /b"], "2 fields", False),
    ],
)
def test_a_mapping_that_does_not_fit_the_bundle(
    tmp_path: Path, flags: list[str], found: str, well: bool
) -> None:
    write_bundle(tmp_path, Walk())
    findings = examine(["--bundle.directory", str(tmp_path), *flags])
    (finding,) = (one for one in (next(findings) for _ in range(4)) if one.what == "input")
    assert found in finding.found and finding.well is well


def test_the_latest_records_are_examined(
    tmp_path: Path, broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, Walk())
    broker._clock = lambda: START_MS / 1000
    send(broker, [(p, b"a", {"timestamp": START_MS - p, "value": 1.0}) for p in range(2)])
    monkeypatch.setattr("eddycast.service.delivery.connect.kafka_broker", lambda _: broker)
    flags = ["--bundle.directory", str(tmp_path), "--http.port", "0"]
    found = {finding.what: finding for finding in examine(flags)}
    assert "2 readings of 1 stream" in found["records"].found
    assert "a in [0, 1]" in found["partitions"].found
    broker.fail_next("read")
    (records,) = (one for one in examine(flags) if one.what == "records")
    assert not records.well and "on demand" in records.found
    monkeypatch.setattr("eddycast.service.diagnosis.sample._BYTES", 1)
    assert "records" in {finding.what for finding in examine(flags)}
