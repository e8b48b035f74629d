"""`eddycast state seed`, on the in-process broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import Registry
from tests.support.bundles import START_MS, TWO_CHANNELS, Walk, listed, write_bundle
from tests.support.crashing import stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.registry import promoted, published
from tests.support.running import DEAD, INPUT, OUTPUT, committed, send

MINUTE = 60_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FaultyBroker:
    """The broker of the command, without a changelog."""
    broker = FaultyBroker()
    for topic in (INPUT, OUTPUT, DEAD):
        broker.admin().create_topic(topic, 1)
    monkeypatch.setattr("eddycast.service.commands.state_seed.broker_of", lambda _: broker)
    return broker


def lines(header: str, *values: str) -> str:
    return "\n".join([header, *(f"{START_MS + t * MINUTE},{v}" for t, v in enumerate(values))])


def test_the_model_may_be_the_champion_of_a_registry(
    place: Path, broker: FaultyBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(LocalFolder(place / "models"), "load")
    promoted(registry, published(registry, place / "bundle", listed(Walk())))
    (place / "a.csv").write_text(lines("time,pump", *"12345"))
    send(broker, [(0, b"pump", {"timestamp": START_MS, "value": 1.0})])
    flags = ["--registry.url", str(place / "models"), "--registry.model", "load"]
    assert run(["state", "seed", "champion", "a.csv", *flags]) == 0
    said = capsys.readouterr().out
    assert "1 rows in 1 partitions of eddycast-changelog" in said
    assert f"the group eddycast begins at 0: 1 of {INPUT}" in said, "the record is skipped"
    assert list(stored(broker)[0]) == [b"pump"] and committed(broker) == {0: 1}


def test_streams_have_the_channels_of_the_bundle(
    place: Path, broker: FaultyBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(place / "bundle", TWO_CHANNELS)
    (place / "plant.csv").write_text(lines("time,flow,level", "1,2", "3,", "5,6"))
    assert run(["state", "seed", "bundle", "plant.csv"]) == 0, capsys.readouterr().err
    assert list(stored(broker)[0]) == [b"plant"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bundle"], "nothing to read"),
        (["--from-topic"], "BUNDLE"),
        (["--kafka.group", "g", "--from-topic"], "in place of an argument"),
        (["nowhere", "--from-topic"], "nowhere"),
        (["bundle", "nothing.csv"], "nothing.csv"),
        (["champion", "--from-topic"], "registry.url"),
    ],
)
def test_what_cannot_be_read_is_named(
    words: list[str], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(place / "bundle", Walk())
    assert run(["state", "seed", *words]) != 0
    assert said in capsys.readouterr().err
