"""The parts of a mapping, and what is said about wrong settings."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.errors import SettingsError
from eddycast.service.formats.influx import points
from eddycast.service.formats.mapping_numbers import Fields
from eddycast.service.mapping.cells import Cells
from eddycast.service.mapping.conditions import StreamFilter, conditions
from eddycast.service.mapping.pointers import ABSENT, Pointer
from eddycast.service.mapping.presets import PRESETS
from eddycast.service.mapping.sources import Context
from eddycast.service.mapping.stamps import Stamps
from eddycast.service.mapping.templates import Namer, Template
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.input_parsers import EXAMPLES
from eddycast.service.settings.load import load_settings

NOW = 1_700_000_000_000
DOCUMENT = {"a": {"b/c": 1, "d~": 2}, "list": [{"v": 1}, {"v": 2}], "": 3, "01": 4, "n": None}


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/a/b~1c", 1),
        ("/a/d~0", 2),
        ("/list/1/v", 2),
        ("/", 3),
        ("/01", 4),
        ("/n", None),
        ("/list/2", ABSENT),
        ("/list/01", ABSENT),
        ("/list/-", ABSENT),
        ("/a/b/c", ABSENT),
        ("/n/x", ABSENT),
    ],
)
def test_a_pointer_finds_what_the_rfc_says(pointer: str, expected: Any) -> None:
    parsed = Pointer.parse(pointer)
    assert parsed.find(DOCUMENT) is expected or parsed.find(DOCUMENT) == expected
    assert str(parsed) == pointer


def test_a_star_matches_every_entry() -> None:
    found = [tuple(match) for match in Pointer.parse("/list/*/v").matches(DOCUMENT)]
    assert found == [("/list/0/v", ("0",), 1), ("/list/1/v", ("1",), 2)]
    paths = [match.path for match in Pointer.parse("/a/*").matches(DOCUMENT)]
    assert paths == ["/a/b~1c", "/a/d~0"]


@pytest.mark.parametrize(
    ("pointers", "names"),
    [
        (["/a/temp", "/hum"], ["temp", "hum"]),
        (["/a/v", "/b/v"], ["a/v", "b/v"]),
        (["/rooms/*/temp", "/rooms/*/hum"], ["x/temp", "y/temp", "x/hum", "y/hum"]),
        (["/rooms/x/*"], ["temp", "hum"]),
        (["/rooms/x/*", "/a/*"], ["rooms/x/temp", "rooms/x/hum", "a/temp", "a/v"]),
        (["/rooms/x/*", "/hum"], ["rooms/x/temp", "rooms/x/hum", "hum"]),
    ],
)
def test_names_of_fields_are_short_and_never_shared(pointers: list[str], names: list[str]) -> None:
    room = {"temp": 1, "hum": 2}
    document = {"a": {"temp": 1, "v": 1}, "b": {"v": 1}, "hum": 3, "rooms": {"x": room, "y": room}}
    fields = Fields([Pointer.parse(pointer) for pointer in pointers], set(), LENIENT)
    assert [field.name for field in fields.read(document)] == names


@pytest.mark.parametrize("head", ["cpu", "cpu,host=a,region=eu", "m=x,a=b"])
@pytest.mark.parametrize("fields", ["v=1", "a=1i,b=2.5,c=t,d=-3e2", "a=b=c", "v=", "=1", "v"])
@pytest.mark.parametrize("time", ["", f" {NOW}000000", " x", " -1"])
def test_a_line_without_escapes_is_read_like_any_other(head: str, fields: str, time: str) -> None:
    """Two blanks leave the short way."""
    one, other = (
        [str(found) for _, found in points(f"{head}{blanks}{fields}{time}".encode())]
        for blanks in (" ", "  ")
    )
    assert one == [text.replace("  ", " ") for text in other]


def context(**given: Any) -> Context:
    element = {"name": "temp", "n": 7, "empty": "", "deep": {"x": 1}}
    fields: dict[str, Any] = {
        "topic": "t",
        "key": "k",
        "headers": {"ce_source": "s", "site": "test"},
        "time": NOW,
        "document": {"host": "h", "readings": [element]},
        "element": element,
        "any": ("0",),
        "field": "f",
    }
    return Context(**(fields | given))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{key}", "k"),
        ("{topic}/{host}/{name}/{field}", "t/h/temp/f"),
        ("{header.ce_source}-{/deep/x}-{n}-{1}", "s-1-7-0"),
        ("{topic.1}/{topic.3}", "plant/temp"),
    ],
)
def test_a_template_is_filled(template: str, expected: str) -> None:
    topic = "plant/line/temp" if "topic." in template else "t"
    assert Namer(Template.parse(template))(context(topic=topic)) == expected


@pytest.mark.parametrize(
    "template", ["{empty}", "{deep}", "{other}", "{header.no}", "{2}", "{topic.2}"]
)
def test_a_template_that_cannot_be_filled_names_the_place(template: str) -> None:
    with pytest.raises(Unreadable, match=template[1:-1]) as raised:
        Namer(Template.parse(template))(context())
    assert raised.value.error == "no_stream"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/name = temp", True),
        ('/name = "temp"', True),
        ("/name != temp", False),
        ("n = 7", True),
        ("n = 7.0", True),
        ("/n != 8 and /name = temp", True),
        ("header.site = test", True),
        ("header.site != test", False),
        ("/other = 1", False),
        ("/other != 1", True),
        ("/deep", True),
        ("!/deep", False),
        ("!/other and host", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    found = [
        condition.accepts(condition.place.reader()(context())) for condition in conditions(text)
    ]
    assert all(found) is expected


@pytest.mark.parametrize(
    ("globs", "served", "others"),
    [
        (["plant1/*", "!*/test"], ["plant1/a", "plant1/a/b"], ["plant2/a", "plant1/test"]),
        (["!*/test"], ["a", "test"], ["a/test"]),
        (["a", "b?"], ["a", "b1"], ["b", "ab"]),
    ],
)
def test_globs_of_streams(globs: list[str], served: list[str], others: list[str]) -> None:
    subject = StreamFilter(globs)
    assert [subject(name) for name in served + others] == [True] * len(served) + [False] * len(
        others
    )


LENIENT = Cells(["unavailable", "NaN", ""], text=True, booleans=True, units=True)
STRICT = Cells([], text=False, booleans=False, units=False)


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (1, 1.0),
        (None, math.nan),
        ("21.4", 21.4),
        (" -1e3 ", -1000.0),
        ("21.4 °C", 21.4),
        ("45%", 45.0),
        ("12.5 kWh", 12.5),
        ("3 m/s", 3.0),
        ("Unavailable", math.nan),
        ("", math.nan),
        (True, 1.0),
    ],
)
def test_cells_are_read_if_the_settings_say_so(found: Any, number: float) -> None:
    assert LENIENT.number(found, "/v") == pytest.approx(number, nan_ok=True)
    assert LENIENT.is_number(found)
    if isinstance(found, str | bool):
        with pytest.raises(Unreadable) as raised:
            STRICT.number(found, "/v")
        assert raised.value.error == "not_a_number" and "/v" in raised.value.reason


@pytest.mark.parametrize("found", ["21,4", "1_000", "0x10", "north", "inf", "٣", "1 2", [], {}])
def test_other_cells_are_no_numbers(found: Any) -> None:
    with pytest.raises(Unreadable):
        LENIENT.number(found, "/v")


@pytest.mark.parametrize("found", [math.nan, math.inf, 1e31, 10**400, "1e31"])
def test_numbers_that_are_no_readings(found: Any) -> None:
    with pytest.raises(Unreadable) as raised:
        LENIENT.number(found, "/v")
    assert raised.value.error == "not_finite"


@pytest.mark.parametrize(
    ("unit", "found", "expected"),
    [
        ("auto", NOW // 1000, NOW),
        ("auto", NOW, NOW),
        ("auto", NOW * 1000 + 7, NOW),
        ("auto", NOW * 1_000_000 + 7, NOW),
        ("auto", str(NOW), NOW),
        ("auto", "2023-11-14T22:13:20Z", NOW),
        ("s", NOW / 1000 + 0.123, NOW + 123),
        ("s", f"{NOW // 1000}", NOW),
        ("ms", NOW, NOW),
        ("ms", NOW + 0.9, NOW),
        ("us", NOW * 1000 + 999, NOW),
        ("ns", NOW * 1_000_000, NOW),
        ("iso", "2023-11-14T22:13:20.000999999Z", NOW),
        ("iso", "2023-11-14T23:13:20+01:00", NOW),
        ("%d.%m.%Y %H:%M:%S", "14.11.2023 22:13:20", NOW),
        ("%Y-%m-%dT%H:%M:%S%z", "2023-11-14T23:13:20+0100", NOW),
    ],
)
def test_units_of_time(unit: str, found: Any, expected: int) -> None:
    assert Stamps(unit, "UTC", 10**11).milliseconds(found, "/ts", NOW) == expected


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ("ms", NOW // 1000),
        ("s", NOW),
        ("s", 3),
        ("auto", -1),
        ("auto", 10**30),
        ("auto", math.inf),
        ("s", math.nan),
        ("auto", 10**400),
        ("auto", "9" * 5_000),
        ("iso", NOW),
        ("iso", str(NOW)),
        ("iso", "yesterday"),
        ("%d.%m.%Y", "2023-11-14"),
        ("%d.%m.%Y", NOW),
        ("ms", True),
        ("ms", [1]),
    ],
)
def test_implausible_times_are_named(unit: str, found: Any) -> None:
    with pytest.raises(Unreadable, match="/ts") as raised:
        Stamps(unit, "UTC", 10**11).milliseconds(found, "/ts", NOW)
    assert raised.value.error in ("bad_timestamp", "seconds")


def hours(*given: int) -> int:
    return int(datetime(*given, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "record_time", "expected"),
    [
        ("2024-07-01T12:00", -1, hours(2024, 7, 1, 10)),
        ("2024-12-01T12:00", -1, hours(2024, 12, 1, 11)),
        ("2024-10-27T02:30", hours(2024, 10, 27, 0, 31), hours(2024, 10, 27, 0, 30)),
        ("2024-10-27T02:30", hours(2024, 10, 27, 1, 31), hours(2024, 10, 27, 1, 30)),
        ("2024-10-27T02:30", -1, hours(2024, 10, 27, 0, 30)),
        ("2024-03-31T02:30", hours(2024, 3, 31, 1, 31), hours(2024, 3, 31, 1, 30)),
        ("2024-07-01T12:00Z", -1, hours(2024, 7, 1, 12)),
    ],
)
def test_local_times_and_daylight_saving(text: str, record_time: int, expected: int) -> None:
    """The repeated hour is the one that is nearer to the record's own time."""
    subject = Stamps("iso", "Europe/Berlin", 0)
    assert subject.milliseconds(text, "/ts", record_time) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("each", "/readings", "stands for each reading"),
        ("each", "readings/*", "begins with /"),
        ("stream", "boiler", "one stream"),
        ("stream", "{key", "brace"),
        ("stream", "{}", "place is missing"),
        ("value", "temp", "begins with /"),
        ("value", "/a~2", "~0"),
        ("value", "/a/*", "input.fields"),
        ("fields", "temp", "begins with /"),
        ("timestamp", "key", "cannot be a time"),
        ("timestamp_unit", "minutes", "no unit"),
        ("zone", "Europe/Berln", "unknown"),
        ("where", "= 3", "no condition"),
    ],
)
def test_a_wrong_setting_is_named_with_an_example(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings([f"--input.{name}", text], {})
    message = str(raised.value)
    assert f"--input.{name}" in message and said in message and EXAMPLES[name] in message


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--input.preset", "telegraph"], "telegraf"),
        (["--input.fields", "/a/*", "--input.stream", "{key}"], "{field}"),
        (["--input.stream", "{key}/{field}"], "input.fields"),
        (["--input.each", "/*", "--input.stream", "{2}"], "{2}"),
    ],
)
def test_settings_that_contradict_each_other(flags: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(flags, {})
    assert said in str(raised.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_whatever_is_set_beside_a_preset_wins(preset: str) -> None:
    plain = load_settings(["--input.preset", preset], {}).input
    changed = load_settings(["--input.preset", preset, "--input.timestamp", "record"], {}).input
    assert changed.timestamp == "record" and changed.stream == plain.stream
    assert not plain.is_plain


WRITTEN: dict[str, Any] = {
    "format": "influx",
    "each": "/a~1b/*",
    "stream": "{/tags/host}-{header.ce_source}/{field}",
    "fields": "/fields/*, /P1",
    "timestamp": "/ts, header.ce_time, record",
    "timestamp_unit": "%d.%m.%Y %H:%M:%S",
    "zone": "Europe/Berlin",
    "where": '/type = "a b" and header.x != 1 and !/c',
    "streams": "plant1/*, !*/test",
    "missing": 'unavailable, NaN, ""',
    "codes": "-999,-9999",
    "lenient_numbers": True,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_setting_means_the_same_as_a_flag_in_the_environment_and_in_a_file(
    tmp_path: Path, name: str
) -> None:
    value = WRITTEN[name]
    word = "on" if value is True else value
    beside = {"stream": {"fields": "/fields/*"}}.get(name, {})
    flags = [part for other, text in beside.items() for part in (f"--input.{other}", text)]
    file = tmp_path / "eddycast.toml"
    file.write_text(f"[input]\n{name} = {json.dumps(value)}\n")
    found = [
        load_settings([f"--input.{name}", word, *flags], {}),
        load_settings(flags, {f"EDDYCAST_INPUT__{name.upper()}": word}),
        load_settings(["--config", str(file), *flags], {}),
    ]
    assert [getattr(settings.input, name) for settings in found] == [value] * 3


def test_lists_of_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "eddycast.toml"
    file.write_text(
        '[input]\nfields = ["/a", "/b"]\nwhere = ["/type = x", "!/error"]\ncodes = [-999, -9999]\n'
    )
    found = load_settings(["--config", str(file)], {}).input
    assert (found.fields, found.where) == ("/a, /b", "/type = x and !/error")
    assert found.codes == "-999, -9999" and len(found.chosen_conditions) == 2


def test_codes_alone_are_no_mapping() -> None:
    assert InputSettings(codes="-999").is_plain and not InputSettings(streams="a*").is_plain
