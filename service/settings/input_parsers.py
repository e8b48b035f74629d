"""Parsers of the settings of the group `input` that are more than a word, and examples of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from eddycast.service.mapping.conditions import conditions
from eddycast.service.mapping.pointers import Pointer
from eddycast.service.mapping.sources import source
from eddycast.service.mapping.stamps import UNITS
from eddycast.service.mapping.templates import Template
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import require

#: An example of each setting that is parsed.
EXAMPLES: Final = {
    "each": "/readings/*",
    "stream": "{/tags/host}/{name}",
    "channel": "{/measurement} or {field}",
    "channels": "temperature, humidity",
    "value": "/payload/temp, or /a, /b for two channels",
    "fields": "/fields/*, or /temperature, /humidity",
    "timestamp": "/ts, header.ce_time or record",
    "timestamp_unit": "auto, s, ms, us, ns, iso or %d.%m.%Y %H:%M:%S",
    "zone": "Europe/Berlin",
    "where": "/type = reading and header.site != test",
}


def _each(text: str) -> None:
    require(Pointer.parse(text).has_any, f"{text!r} has no *, which stands for each reading")


def _channels(text: str) -> None:
    names = listed(text)
    require(len({*names}) == len(names) > 1, "two or more different names are needed")


def _values(text: str) -> None:
    pointers = tuple(map(Pointer.parse, listed(text)))
    require(bool(pointers), "no field is named")
    require(
        not any(pointer.has_any for pointer in pointers),
        "* stands for several numbers: use input.fields",
    )


def _fields(text: str) -> None:
    require(bool(tuple(map(Pointer.parse, listed(text)))), "no field is named")


def _timestamps(text: str) -> None:
    places = tuple(map(source, listed(text)))
    require(bool(places), "no place is named")
    wrong = [place.name for place in places if place.name in ("key", "topic", "field")]
    require(not wrong, f"{' and '.join(wrong)} cannot be a time")


def _unit(text: str) -> None:
    require("%" in text or text in UNITS, f"{text!r} is no unit")
    datetime(2000, 1, 1).strftime(text)


#: A parser of each setting, which raises ValueError.
PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "each": _each,
    "stream": Template.parse,
    "channel": Template.parse,
    "channels": _channels,
    "value": _values,
    "fields": _fields,
    "timestamp": _timestamps,
    "timestamp_unit": _unit,
    "zone": ZoneInfo,
    "where": conditions,
}
