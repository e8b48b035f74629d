"""Settings of the group `input` for records that are known by their shape alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.avro_documents import AvroDocuments
from eddycast.service.formats.avro_frame import SIZES, VALUE_HEADER, unframed
from eddycast.service.formats.documents import parsed
from eddycast.service.formats.influx import points
from eddycast.service.formats.outcomes import Record
from eddycast.service.mapping.pointers import escaped
from eddycast.service.mapping.stamps import Stamps

PLAIN = "plain"
#: Objects that have all of these fields are of that preset; the first one counts.
_SIGNATURES: tuple[tuple[str, frozenset[str]], ...] = (
    ("telegraf", frozenset({"fields", "name", "tags"})),
    ("debezium", frozenset({"after", "op"})),
    ("cloudevents", frozenset({"specversion", "source"})),
    ("lorawan", frozenset({"end_device_ids"})),
    ("chirpstack", frozenset({"deviceInfo"})),
    ("home_assistant", frozenset({"entity_id", "state"})),
    ("thingsboard", frozenset({"ts", "values"})),
    ("zigbee2mqtt", frozenset({"linkquality"})),
    ("zigbee2mqtt", frozenset({"last_seen"})),
    (PLAIN, frozenset({"value", "timestamp"})),
)
#: Names of fields that hold a time, or name the sensor.
_TIME = re.compile(r"(^|_)(ts|time|timestamp|date|datetime|at|zeit)($|_)|time(stamp)?$", re.I)
_NAME = re.compile(
    r"(^|_)(id|name|sensor|device|host|entity|station|meter|tag|source)($|_)|id$", re.I
)
#: Depth to which fields of an unknown shape are looked for.
_DEPTH = 4


def guess(records: Sequence[Record], avro: AvroDocuments | None = None) -> dict[str, str] | None:
    """Return settings for the most frequent shape, {} for the plain one; None if no record has a
    shape with a number. Empty records are ignored.

    `avro` reads records in Avro; without it they have no shape. Raises SettingsError if it needs a
    registry that is not set, and SchemaRegistryError.
    """
    found = [_of_record(record, avro) for record in records]
    shapes = Counter(tuple(settings.items()) for settings in found if settings is not None)
    return dict(shapes.most_common(1)[0][0]) if shapes else None


def _of_record(record: Record, avro: AvroDocuments | None) -> dict[str, str] | None:
    if not record.value:
        return None
    if any(name == VALUE_HEADER for name, _ in record.headers) or record.value[:1] in SIZES:
        return _of_framed(record, avro)
    if any(name == "ce_source" for name, _ in record.headers):
        return {"preset": "cloudevents"}
    try:
        document = parsed(record.value)
    except Unreadable:
        return _of_lines(record.value)
    return _of_document(document, record)


def _of_framed(record: Record, avro: AvroDocuments | None) -> dict[str, str] | None:
    """Settings for JSON or Avro of a schema."""
    try:
        how, document = {"framing": "confluent"}, parsed(unframed(record.value))
    except Unreadable:
        if avro is None:
            return None
        record = avro.opened(record)
        try:
            how, document = {"format": "avro"}, avro.document(record.value)
        except Unreadable:
            return None
    settings = _of_document(document, record)
    return None if settings is None else how | settings


def _of_document(document: Any, record: Record) -> dict[str, str] | None:
    if isinstance(document, dict) and document.keys() == {"schema", "payload"}:
        known = _known(document["payload"])
        return known if known == {"preset": "debezium"} else {"preset": "connect"}
    if _is_number(document):
        return {"format": "text"}
    known = _known(document)
    return known if known is not None else _unknown(document, record)


def _of_lines(value: bytes) -> dict[str, str] | None:
    try:
        lines = [document for _, document in points(value)]
    except Unreadable:
        return None
    if any(isinstance(document, Unreadable) for document in lines):
        return None
    return {"format": "influx"}


def _known(document: Any) -> dict[str, str] | None:
    """Settings for a document of a well-known shape."""
    if isinstance(document, list) and document and isinstance(document[0], dict):
        if document[0].keys() & {"bn", "n"} and any(one.keys() & {"v", "vb"} for one in document):
            return {"preset": "senml"}
        known = _known(document[0])
        return known if known == {"preset": "thingsboard"} else None
    if not isinstance(document, dict) or not document:
        return None
    for name, fields in _SIGNATURES:
        if document.keys() >= fields:
            return {} if name == PLAIN else {"preset": name}
    metrics = document.get("metrics")
    if isinstance(metrics, list) and metrics and _known(metrics[0]) == {"preset": "telegraf"}:
        return {"preset": "telegraf"}
    inner = [one[0] for one in document.values() if isinstance(one, list) and one]
    device = {"preset": "thingsboard"}
    if len(inner) == len(document) and all(_known(one) == device for one in inner):
        return {"preset": "thingsboard_gateway"}
    return None


def _unknown(document: Any, record: Record) -> dict[str, str] | None:
    """Settings for an unknown shape: its numbers, time and name by the names of its fields."""
    settings: dict[str, str] = {}
    element, outer = document, {}
    if (each := _array(document)) is not None:
        place, element = each
        settings["each"] = f"{place}/*"
        outer = document if isinstance(document, dict) else {}
    if not isinstance(element, dict):
        return None
    leaves = list(_leaves(element))
    around = [(path, value) for path, value in _leaves(outer) if not path.startswith("/0")]
    stamp = _stamp(leaves) or _stamp(around)
    numbers = [path for path, value in leaves if _is_number(value) and path != stamp]
    names = [path for path, value in [*leaves, *around] if _names_a_sensor(path, value)]
    numbers = [path for path in numbers if path not in names]
    if not numbers:
        return None
    base = f"{{{names[0]}}}" if names else "{key}" if record.key else "{topic}"
    if len(numbers) == 1:
        settings |= {"value": numbers[0]}
        settings |= {} if base == "{key}" else {"stream": base}
    else:
        settings |= {"fields": ", ".join(numbers), "stream": base + "/{field}"}
    settings["timestamp"] = stamp or "record"
    if stamp is not None:
        settings["timestamp_unit"] = "auto"
    return settings


def _array(document: Any) -> tuple[str, Any] | None:
    """Pointer to the readings of a document that has several, and the first of them."""
    if isinstance(document, list):
        return ("", document[0]) if document else None
    if isinstance(document, dict):
        for name, found in document.items():
            if isinstance(found, list) and found and isinstance(found[0], dict):
                return f"/{escaped(name)}", found[0]
    return None


def _leaves(
    document: dict[str, Any], prefix: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, Any]]:
    """Pointers to the scalars of a document, and those."""
    for name, value in document.items():
        path = f"{prefix}/{escaped(name)}"
        if isinstance(value, dict) and depth:
            yield from _leaves(value, path, depth - 1)
        elif not isinstance(value, dict | list):
            yield path, value


def _stamp(leaves: Sequence[tuple[str, Any]]) -> str | None:
    """The first field with a name and a value like a time."""
    stamps = Stamps("auto", "UTC", 10**11)
    for path, value in leaves:
        if _TIME.search(path.rpartition("/")[2]):
            try:
                stamps.milliseconds(value, path, -1)
            except Unreadable:
                continue
            return path
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names_a_sensor(path: str, value: Any) -> bool:
    return (
        isinstance(value, str | int)
        and not isinstance(value, bool)
        and bool(_NAME.search(path.rpartition("/")[2]))
    )
