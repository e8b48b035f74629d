"""The shapes of records in which the readings of a run are sent.

PLAIN     a record for each reading, as the service reads it without settings
MAPPED    gateways: records of up to eight readings of several streams, which a mapping finds.
          Some records are cut off, some readings are wrong, and some are passed over
avro      a record in Avro for each reading, behind the id of its schema, the reading in a record
          inside it; cut off, wrong and passed over like those of MAPPED
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.avro_shapes import encoded, record_of

#: Key and value of a record.
KeyValue = tuple[bytes, bytes]

_READINGS = 8
_NUMBER = re.compile(rb'"timestamp":(\d+)')


@dataclass(frozen=True, slots=True)
class Shape:
    """Records for plain readings of one partition, and the settings of the service for them."""

    gathered: Callable[[Sequence[KeyValue]], list[KeyValue]]
    settings: Mapping[str, str] = field(default_factory=dict)  # variables without their prefix

    def one(self, key: bytes, value: bytes) -> KeyValue:
        """The record of a single reading."""
        (record,) = self.gathered([(key, value)])
        return record


def _gateway(readings: Sequence[KeyValue]) -> list[KeyValue]:
    return [
        _record(readings[start : start + _READINGS]) for start in range(0, len(readings), _READINGS)
    ]


def _record(readings: Sequence[KeyValue]) -> KeyValue:
    """One record; cut off if its first reading is."""
    value = b'{"readings":[%b]}' % b",".join(_element(*reading) for reading in readings)
    first_key, first = readings[0]
    return b"gateway of %b" % first_key, value if first.endswith(b"}") else value[:-1]


def _element(key: bytes, value: bytes) -> bytes:
    """A reading inside a record: one that was cut off has no number, every seventh stamp is off."""
    stamp = _NUMBER.search(value)
    off = b'"off":1,' if stamp is not None and int(stamp[1]) % 7 == 0 else b""
    if not value.endswith(b"}"):
        value = value.partition(b'"value":')[0] + b'"value":"cut off"}'
    return b'{"name":"%b",%b%b' % (key, off, value[1:])


#: Settings with which readings are gathered by steps and hold, whatever their records look like.
GATHERED = {"TIME__AGGREGATE": "mean", "TIME__CLOSE_AFTER_S": "30", "TIME__HOLD_S": "180"}

#: The schema of `avro`.
SCHEMA = record_of(
    "Sent",
    device=record_of("Device", id="string"),
    off="boolean",
    timestamp="long",
    data=["null", record_of("Data", celsius=["null", "double"])],
)


def avro(registry_url: str, schema_id: int) -> Shape:
    """Records in Avro, whose schema a registry knows by this id."""

    def gathered(readings: Sequence[KeyValue]) -> list[KeyValue]:
        return [(key, _in_avro(key, value, schema_id)) for key, value in readings]

    return Shape(
        gathered,
        {
            "INPUT__FORMAT": "avro",
            "INPUT__STREAM": "{/device/id}",
            "INPUT__VALUE": "/data/celsius",
            "INPUT__WHERE": "/off = false",
            "SCHEMA_REGISTRY__URL": registry_url,
        },
    )


def _in_avro(key: bytes, value: bytes, schema_id: int) -> bytes:
    """One reading; cut off if it is, and what is none stays as it is."""
    is_whole = value.endswith(b"}")
    try:
        sent = json.loads(value if is_whole else value + b"}")
        stamp, number = sent["timestamp"], sent["value"]
        record = {
            "device": {"id": key.decode()},
            "off": stamp % 7 == 0,
            "timestamp": stamp,
            "data": {"celsius": None if number is None else float(number)},
        }
    except (ValueError, TypeError, KeyError):
        return value
    whole = encoded(SCHEMA, record, schema_id)
    return whole if is_whole else whole[:-1]


PLAIN = Shape(list)
MAPPED = Shape(
    _gateway,
    {
        "INPUT__EACH": "/readings/*",
        "INPUT__STREAM": "{name}",
        "INPUT__WHERE": "/off != 1",
    },
)
