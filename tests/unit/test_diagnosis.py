"""The doctor's checks of a sample of the input topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.broker.memory.broker import MemoryBroker
from eddycast.service.bundle import Manifest
from eddycast.service.diagnosis.examine import RECORDS, look_at_mapping, look_at_records
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.settings.settings import Settings
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.running import INPUT

MINUTE, HOUR = 60_000, 3_600_000
Records = list[tuple[int, bytes | None, Any]]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_bundle(tmp_path_factory.mktemp("bundle"), Walk(max_gap=8))


def reading(stamp: int, value: float | None = 1.0) -> dict[str, Any]:
    return {"timestamp": stamp, "value": value}


def looked(
    manifest: Manifest, records: Records, now: int = START_MS, **groups: Any
) -> dict[str, Finding]:
    """Findings in a topic of four partitions whose records are written a minute apart and end about
    `now`."""
    clock = now - (len(records) + 1) * MINUTE

    def tick() -> float:
        nonlocal clock
        clock += MINUTE
        return clock / 1000

    broker = MemoryBroker(clock=tick)
    broker.admin().create_topic(INPUT, 4)
    producer = broker.producer()
    for partition, key, value in records:
        text = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        producer.produce(INPUT, partition, [key], [text])
    settings = Settings(**groups)
    _, decoder = look_at_mapping(settings, len(manifest.channels))
    assert decoder is not None
    found = list(look_at_records(broker, settings, manifest, decoder, 4))
    return {one.what: one for one in found}


def steady(
    streams: int = 2, count: int = 20, step: int = MINUTE, lead: int = 0, value: Any = None
) -> Records:
    """Readings of streams in turn, whose stamps are those of their records and `lead`."""
    start = START_MS - streams * count * MINUTE
    return [
        (
            s % 4,
            b"s%d" % s,
            reading(
                start + (t * streams + s) * MINUTE + lead
                if step == MINUTE
                else START_MS - (count - t) * step,
                float(t % 7) if value is None else value(t),
            ),
        )
        for t in range(count)
        for s in range(streams)
    ]


def test_a_topic_that_fits_has_nothing_to_mend(manifest: Manifest) -> None:
    found = looked(manifest, steady(1))
    assert set(found) == {"records", "partitions", "clocks", "intervals", "codes"}
    assert all(one.well and not one.action for one in found.values()), found
    assert "20 readings of 1 stream" in found["records"].found
    assert looked(manifest, []) == {"records": Finding("records", "there are none yet")}


def test_tombstones_are_no_dead_letters(manifest: Manifest) -> None:
    found = looked(manifest, [*steady(1), (0, b"s0", None)])
    assert not found["records"].action


def test_the_share_that_cannot_be_read_is_named_with_its_reasons(manifest: Manifest) -> None:
    odd: Records = [(1, b"a", b"{"), (1, b"a", b"{"), (2, None, reading(START_MS))]
    found = looked(manifest, [*steady(1, 27), *odd])["records"]
    assert found.well
    for part in ("10.0%", "2 not_json", "1 no_key", "1:0: "):
        assert part in found.found
    assert "docs/input.md" in found.action


def test_if_nothing_can_be_read_a_known_shape_is_proposed(manifest: Manifest) -> None:
    metric = {"fields": {"a": 1}, "name": "cpu", "tags": {"host": "h"}, "timestamp": 1}
    found = looked(manifest, [(0, None, metric)] * 3)["records"]
    assert not found.well and "input.preset = telegraf" in found.action
    found = looked(manifest, [(0, b"a", b"\xff")] * 3)["records"]
    assert not found.well and "docs/input.md" in found.action


def test_if_everything_is_filtered_the_filters_are_named(manifest: Manifest) -> None:
    found = looked(manifest, steady(2), input={"where": "/type = reading"})["records"]
    assert "40 filtered" in found.found and "input.where" in found.action


def test_a_stream_in_two_partitions_is_named(manifest: Manifest) -> None:
    records = [*steady(3), (3, b"s1", reading(START_MS))]
    found = looked(manifest, records)["partitions"]
    assert "1 stream in more than one: s1 in [1, 3]" in found.found and "key" in found.action


@pytest.mark.parametrize(
    ("lead", "found", "action"),
    [
        (HOUR, "1 hour ahead", "input.zone"),
        (2 * HOUR - MINUTE, "2 hours ahead", "input.zone"),
        (-5 * HOUR, "5 hours behind", "input.zone"),
        (20 * MINUTE, "20 minutes ahead", "clocks of the senders"),
        (-20 * MINUTE, "agree", ""),
        (-30 * HOUR, "behind the records", ""),
        (-10, "agree", ""),
    ],
)
def test_clocks_that_are_off_are_named(
    manifest: Manifest, lead: int, found: str, action: str
) -> None:
    """A clock further ahead than time.far_future_s makes dead letters, and is named all the
    same."""
    finding = looked(manifest, steady(2, lead=lead))["clocks"]
    assert found in finding.found
    assert action in finding.action and bool(action) is bool(finding.action)


def test_an_archive_at_full_speed_has_no_zone(manifest: Manifest) -> None:
    """Half a day of readings, written within minutes."""
    finding = looked(manifest, steady(1, 100, step=10 * MINUTE + 1))["clocks"]
    assert not finding.action


@pytest.mark.parametrize(
    ("step", "settings", "found", "action"),
    [
        (1000, {}, "1 stream faster, every 1 second: s0", "--interval 1s"),
        (5 * MINUTE, {}, "1 stream slower, every 5 minutes: s0", "are imputed"),
        (30 * MINUTE, {}, "1 stream slower", "time.max_gap = 30"),
        (30 * MINUTE, {"max_gap": 30}, "1 stream slower", "are imputed"),
        (62_000, {}, "1 stream every 1 minute, as the model", ""),
        (1000, {}, "1 stream faster", "set time.aggregate"),
        (1000, {"aggregate": "mean"}, "1 stream faster", ""),
        (5 * MINUTE, {}, "1 stream slower", "time.hold_s = 300"),
        (5 * MINUTE, {"hold_s": 240}, "1 stream slower", ""),
        (5 * MINUTE, {"hold_s": 180}, "1 stream slower", "time.hold_s = 300"),
    ],
)
def test_intervals_other_than_the_models_are_named(
    manifest: Manifest, step: int, settings: dict[str, Any], found: str, action: str
) -> None:
    finding = looked(manifest, steady(1, step=step), time=settings)["intervals"]
    assert found in finding.found
    assert action in finding.action and bool(action) is bool(finding.action)


def test_a_few_readings_have_no_interval(manifest: Manifest) -> None:
    assert "too few" in looked(manifest, steady(3, 2))["intervals"].found


@pytest.mark.parametrize(
    ("code", "text"), [(-999.0, "-999"), (65535.0, "65535"), (-9999.99, "-9999.99")]
)
def test_numbers_that_look_like_a_missing_value_are_named(
    manifest: Manifest, code: float, text: str
) -> None:
    records = steady(2, value=lambda t: code if t % 5 == 4 else 20.0 + t % 7)
    finding = looked(manifest, records)["codes"]
    assert f"{text} looks like a missing value, 8 times: s0, s1" in finding.found
    assert finding.action == f"set input.codes = bundle,{text}"
    settings = {"codes": f"bundle,{text}"}
    assert not looked(manifest, records, input=settings)["codes"].action


def test_the_sample_is_bounded(manifest: Manifest) -> None:
    found = looked(manifest, steady(1, RECORDS))["records"].found
    assert f"the latest {RECORDS // 4:,}: " in found


def test_several_channels_and_mapped_records(tmp_path: Path) -> None:
    manifest = write_bundle(tmp_path, Walk(channels=("a", "b"), targets=("a",)))
    start = START_MS - 20 * MINUTE
    records: Records = [
        (0, None, {"id": "x", "t": start + t * MINUTE, "a": t, "b": -200 if t % 2 else 3})
        for t in range(20)
    ]
    mapping = {"stream": "{/id}", "timestamp": "/t", "value": "/a, /b"}
    found = looked(manifest, records, input=mapping)
    assert "-200" in found["codes"].found and not found["records"].action
