"""The documents of a record: its value parsed as JSON, SenML, line protocol or a number, without
envelope."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.avro_frame import unframed
from eddycast.service.formats.influx import points
from eddycast.service.formats.senml import resolved
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.settings.input import InputSettings

_PARSE: Callable[[bytes], Any] = msgspec.json.Decoder().decode
#: CloudEvents in the structured mode have this document at least.
_EVENT = {"specversion", "type", "source"}


def documents(settings: InputSettings, value: bytes, time: int) -> Iterator[tuple[str, Any]]:
    """Yield the place of each document in a value, "" = the whole, and the document; Unreadable for
    one that cannot be read, ABSENT for one that has no number by its nature.

    `time` is the record's broker time, ms, -1 = none. Raises Unreadable.
    """
    value = value if settings.framing is None else unframed(value)
    if settings.format == "influx":
        yield from points(value)
    elif settings.format == "senml":
        yield from resolved(parsed(value), time)
    elif settings.format == "text":
        yield "", {"value": value.decode(errors="replace").strip()}
    else:
        yield "", parsed(value)


def whole_documents(
    settings: InputSettings, value: bytes, time: int, headers: dict[str, str]
) -> list[tuple[str, Any, dict[str, str]]]:
    """Return place and document without envelope, and headers with its attributes, of a value all
    of whose documents can be read; `time` is the record's. Raises Unreadable."""
    found: list[tuple[str, Any, dict[str, str]]] = []
    for place, document in documents(settings, value, time):
        if document is ABSENT or isinstance(document, Unreadable):
            raise Unreadable("no_value", f"there is no number at {place}")
        found.append((place, *without_envelope(settings.envelope, document, headers)))
    return found


def parsed(value: bytes) -> Any:
    """Parse JSON. Raises Unreadable; NaN and infinities are accepted, to be named later."""
    try:
        return _PARSE(value)
    except (ValueError, RecursionError):
        try:
            return json.loads(value.decode(), parse_int=_number)
        except (ValueError, RecursionError) as error:
            raise Unreadable("not_json", f"the value is not JSON: {error}") from None


def without_envelope(
    envelope: str | None, document: Any, headers: dict[str, str]
) -> tuple[Any, dict[str, str]]:
    """Return the document inside an envelope, and the headers with the attributes of the envelope.
    A document without the envelope is returned as it is."""
    if not isinstance(document, dict):
        return document, headers
    if envelope == "connect" and document.keys() == {"schema", "payload"}:
        return document["payload"], headers
    if envelope == "cloudevents" and document.keys() >= _EVENT:
        attributes = {
            f"ce_{name}": found
            for name, found in document.items()
            if isinstance(found, str) and name != "data"
        }
        return document.get("data"), headers | attributes
    return document, headers


def key_text(envelope: str | None, key: bytes | None) -> str | None:
    """Return the key as text, None if there is none; that of Kafka Connect without its envelope: a
    single value, or the only field of an object. Raises Unreadable."""
    if not key:
        return None
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(
            "bad_key", f"the key is not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    if envelope != "connect":
        return text
    try:
        found = _PARSE(key)
    except (ValueError, RecursionError):
        return text
    found, _ = without_envelope(envelope, found, {})
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if isinstance(found, dict | list):
        return text
    return found if isinstance(found, str) else str(found)


def header_texts(headers: list[tuple[str, bytes]]) -> dict[str, str]:
    """Return the headers as text; the last of the same name counts."""
    return {name: value.decode(errors="replace") for name, value in headers}


def _number(digits: str) -> int | float:
    """Parse a JSON integer; as a float from 40 digits on, which is infinite from 309 digits on."""
    return int(digits) if len(digits) < 40 else float(digits)
