"""A challenger beside the champion: its rows, its forecasts, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from eddycast.service import app
from eddycast.service.__main__ import run
from eddycast.service.errors import SettingsError, StateError
from eddycast.service.migration.challenger import challenger_settings, take_champions_rows
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import Registry
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.crashing import Fleet, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.registry import published
from tests.support.running import INPUT, OUTPUT, committed, made, memory_broker, send

MINUTE, STREAMS = 60_000, 4
GROUP, SHADOW = "eddycast-b", "eddycast-b-forecasts"
OLD = listed(Walk(hidden=4, expects=True))
NEW = listed(Walk(hidden=4, expects=True, seed=8, spread=2.0), latent="beef" * 4)
FLAGS = ["--http.port", "0", "--kafka.max_poll_records", "10"]


def loaded(directory: Path, walk: Walk) -> Runtime:
    write_bundle(directory, walk)
    return load_runtime(directory)


def feed(broker: FaultyBroker, minutes: range) -> None:
    """A reading a minute of each stream."""
    send(
        broker,
        [
            (s % 2, b"s%d" % s, {"timestamp": START_MS + t * MINUTE, "value": t * 7.0 % 11 + s})
            for t in minutes
            for s in range(STREAMS)
        ],
    )  # fmt: skip


def answers(broker: FaultyBroker, topic: str, since: int = 0) -> dict[bytes, list[bytes]]:
    """The forecasts of each stream for readings from this minute on, in order."""
    found: dict[bytes, list[bytes]] = {}
    for record in made(broker, topic):
        value = record.value or b""
        if json.loads(value)["timestamp"] >= START_MS + since * MINUTE:
            found.setdefault(record.key or b"", []).append(value)
    return found


def ends(broker: FaultyBroker) -> dict[int, int]:
    return {log.partition: log.end for log in broker.logs(INPUT)}


@pytest.fixture
def champion(tmp_path: Path) -> Fleet:
    """A group that has answered six minutes and goes on."""
    fleet = Fleet(memory_broker(2), loaded(tmp_path / "old", OLD))
    fleet.start()
    feed(fleet.broker, range(6))
    fleet.settle()
    return fleet


@pytest.fixture
def challenge(champion: Fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command on the champion's broker until it has answered so many readings."""
    monkeypatch.setattr("eddycast.service.commands.challenge.broker_of", lambda _: champion.broker)

    def serve(settings: Settings, runtime: Runtime) -> None:
        service, stop = app.Service(settings, champion.broker, runtime), Event()
        thread = Thread(target=service.run, args=(stop,))
        thread.start()
        while thread.is_alive() and committed(champion.broker, GROUP) != ends(champion.broker):
            thread.join(0.01)
        stop.set()
        thread.join()

    monkeypatch.setattr("eddycast.service.app.run", serve)
    return lambda *words: run(["challenge", *words, "--group", GROUP, *FLAGS])


def test_it_forecasts_what_the_champions_group_would_after_a_promotion(
    champion: Fleet, challenge: Callable[..., int], tmp_path: Path
) -> None:
    new = loaded(tmp_path / "new", NEW)
    champion.stop(champion.alive[0])
    feed(champion.broker, range(6, 9))
    assert challenge(str(tmp_path / "new"), "--multi-step") == 0
    champion.runtime = new
    champion.settle()
    shadow = answers(champion.broker, SHADOW)
    assert shadow == answers(champion.broker, OUTPUT, since=6)
    assert [len(own) for own in shadow.values()] == [3] * STREAMS


def test_the_champion_goes_on_and_a_second_start_continues(
    champion: Fleet, challenge: Callable[..., int], tmp_path: Path
) -> None:
    write_bundle(tmp_path / "new", NEW)
    for minutes in (range(6, 9), range(9, 12)):
        feed(champion.broker, minutes)
        before = stored(champion.broker), committed(champion.broker)
        assert challenge(str(tmp_path / "new")) == 0
        assert (stored(champion.broker), committed(champion.broker)) == before
    champion.settle()
    for topic, minutes in ((SHADOW, range(6, 12)), (OUTPUT, range(12))):
        for values in answers(champion.broker, topic).values():
            stamps = [json.loads(value)["timestamp"] for value in values]
            assert stamps == [START_MS + t * MINUTE for t in minutes], "each once, in order"
    shadow = [json.loads(r.value or b"") for r in made(champion.broker, SHADOW)]
    assert all(one["multi_step"] is None and one["one_step"] for one in shadow)


def test_a_version_of_the_registry_is_as_good_as_a_directory(
    champion: Fleet, challenge: Callable[..., int], tmp_path: Path
) -> None:
    version = published(Registry(LocalFolder(tmp_path / "models"), "load"), tmp_path / "new", NEW)
    feed(champion.broker, range(6, 7))
    flags = "--registry.url", str(tmp_path / "models"), "--registry.model", "load"
    assert challenge(version[:8], *flags) == 0
    assert {json.loads(r.value or b"")["model"] for r in made(champion.broker, SHADOW)} == {
        f"walk@{version[:6]}"
    }


def test_a_model_that_cannot_continue_the_rows_leaves_nothing_behind(
    champion: Fleet, tmp_path: Path
) -> None:
    other = loaded(tmp_path / "other", listed(Walk(hidden=4), core="dead" * 4))
    own = challenger_settings(Settings(), GROUP)
    with pytest.raises(StateError, match="cannot continue"):
        take_champions_rows(champion.broker, Settings(), own, other.manifest)
    with champion.broker.admin() as admin:
        assert admin.partitions(own.changelog) is None


@pytest.mark.parametrize(
    ("group", "champion", "fact"),
    [
        ("eddycast", {}, "champion's group"),
        ("b", {"--topics.output": "b-forecasts"}, "b-forecasts would be a topic of both"),
        ("b", {"--topics.changelog": "b-changelog"}, "b-changelog would be a topic of both"),
    ],
)
def test_group_and_topics_are_its_own(group: str, champion: dict[str, str], fact: str) -> None:
    flags = [word for pair in champion.items() for word in pair]
    with pytest.raises(SettingsError, match=fact):
        challenger_settings(load_settings(flags, {}), group)


def test_what_is_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["challenge", str(tmp_path), "--group", GROUP]) == 2
    assert f"{tmp_path} is no bundle's directory" in capsys.readouterr().err
