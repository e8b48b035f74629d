"""A challenger beside the champion on a real Kafka, by the commands of docs/lifecycle.md."""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from eddycast.service.__main__ import run
from tests.chaos.fleet import Worker, await_true
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.processes import MINUTE, Site
from tests.unit.test_lifecycle_page import PAGE

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

STREAMS = 4
OLD = listed(Walk(hidden=4, expects=True))
NEW = listed(Walk(hidden=4, expects=True, spread=2.0), latent="beef" * 4)


def words(site: Site, command: str, new: Path) -> list[str]:
    """The words of the page's `eddycast COMMAND`, at this site."""
    (line,) = re.findall(rf"^eddycast ({command} .*)$", PAGE.read_text(), re.M)
    line = line.replace("HOST:9092", site.kafka.bootstrap_servers).replace("$NEW", str(new))
    return shlex.split(line.replace("load-b", f"{site.name}-b"))


def stamps(site: Site, topic: str) -> dict[bytes, list[int]]:
    """The minutes for which each stream has a forecast, in order."""
    found: dict[bytes, list[int]] = {}
    for _, key, value in site.read(topic):
        minute = (json.loads(value or b"")["timestamp"] - START_MS) // MINUTE
        found.setdefault(key or b"", []).append(minute)
    return found


def is_up(worker: Worker) -> bool:
    """True once it serves partitions, or has ended."""
    return bool(worker.holds()) or worker.code is not None


def test_a_challenger_forecasts_beside_the_champion_and_is_compared(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write_bundle(site.directory / "bundle", OLD)
    new_bundle = site.directory / "new"
    new = write_bundle(new_bundle, NEW)
    champion = site.serving()
    site.feed(range(6))
    site.await_forecasts(6 * STREAMS)
    command = "-m", "eddycast.service", *words(site, "challenge", new_bundle)
    shadow, done = f"{site.name}-b-forecasts", 6
    for minutes in (range(6, 9), range(9, 12)):
        one = Worker(command, site.variables, site.directory / f"{minutes}.log")
        site.fleet.alive.append(one)
        await_true(partial(is_up, one), 120.0, "the challenger serves nothing")
        site.feed(minutes)
        done += len(minutes)
        site.await_forecasts(done * STREAMS)
        site.await_forecasts((done - 6) * STREAMS, output=shadow)
        assert site.end(one) == 0, one.tail()
    assert site.end(champion) == 0
    assert set(map(tuple, stamps(site, site.output).values())) == {tuple(range(12))}
    assert set(map(tuple, stamps(site, shadow).values())) == {tuple(range(6, 12))}
    forecasts = [json.loads(value or b"") for _, _, value in site.read(shadow)]
    assert {one["model"] for one in forecasts} == {new.label}
    assert all(one["warm"] and one["expected"] for one in forecasts), "no stream begins anew"

    compare = words(site, "models compare", new_bundle)
    assert run([*compare, "--burn-in", "1ms", "--json", "--topics.output", site.output]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == {"champion": [old.label], "challenger": [new.label]}
    assert found["one_step"]["forecasts"] == 5 * STREAMS, "the burn-in is the first minute"
    assert found["one_step"]["verdict"].startswith("too early")
    pinball = found["one_step"]["measures"]["pinball"]
    assert pinball["challenger"] > pinball["champion"] > 0
