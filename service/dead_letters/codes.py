"""The codes of errors for which a record, or a reading, becomes a dead letter:
its meaning, and advice.

A code is a label of the metric of dead letters and a header of each of them, so it is stable.
docs/dead-letters.md and the log's advice follow from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Code(NamedTuple):
    """The meaning of a code, and the advice to whoever reads it in the log."""

    meaning: str
    action: str


_SHAPE: Final = (
    'send {"timestamp": ms or ISO 8601, "value": number or null}, or describe your records by the '
    "settings of the group input (docs/input.md)"
)

CODES: Final[Mapping[str, Code]] = {
    "no_key": Code(
        "the record has no key, or an empty one", "send the stream's name as the record's key"
    ),
    "bad_key": Code(
        "the key is not UTF-8 or contains control characters, such as a binary number",
        "send the stream's name as the record's key, in UTF-8",
    ),
    "no_stream": Code(
        "a place that input.stream contains is missing",
        "complete the records, or change input.stream",
    ),
    "bad_stream": Code(
        "the name of the stream is too long, or contains control characters",
        "shorten the name and leave out control characters, or change input.stream",
    ),
    "not_json": Code("the value is not a JSON object", _SHAPE),
    "not_avro": Code(
        "the value is no Avro record of the schema whose id it has",
        "send Avro with the id of its schema, or change input.format",
    ),
    "unknown_schema": Code(
        "the schema registry has no Avro schema of that id",
        "register the schema, or correct schema_registry.url; then replay the dead letters",
    ),
    "not_influx": Code(
        "the value, or a line of it, is not line protocol",
        "send line protocol, or change input.format",
    ),
    "too_many_readings": Code("a record has more than 16,384 readings", "divide the record"),
    "no_value": Code(
        'there is no field "value", or nothing at the place that input.value names', _SHAPE
    ),
    "not_a_number": Code("the value is or contains a string, a boolean or an object", _SHAPE),
    "not_finite": Code(
        "the value is NaN, infinite or beyond 1e30", "send null for a missing value"
    ),
    "wrong_channels": Code(
        "the number of values differs from the model's channels",
        "send as many numbers as the model has channels, or serve another bundle",
    ),
    "bad_timestamp": Code(
        "the time stamp cannot be parsed, is negative or after the year 9999", _SHAPE
    ),
    "seconds": Code(
        "the time stamp is a number that looks like seconds: in ms it is before time.earliest",
        "send milliseconds or ISO 8601; for an archive that old, lower time.earliest",
    ),
    "far_future": Code(
        "the time stamp is too far ahead of the record's broker time, or of that of the last "
        "record before it that has one",
        "set the sender's clock, or raise time.far_future_s",
    ),
    "late": Code(
        "the time stamp is older than the stream's last one; only with time.late = dead_letter",
        "a clock is wrong or a buffer is sent late: time.late = dead_letter keeps such readings",
    ),
    "too_large": Code(
        "key or value is larger than allowed, or a record batch unpacks to more than allowed",
        "shorten key or value; for a record batch, send "
        "smaller batches or raise kafka.unpacked_bytes",
    ),
    "undecodable": Code(
        "a record batch is damaged, or packed by an unknown codec",
        "check the broker's disk and the producer of the batch",
    ),
    "too_many_streams": Code(
        "the stream is new, and the process has no room for it",
        "check for invented stream names; raise state.max_streams or the memory, or add instances",
    ),
    "failed": Code(
        "processing failed repeatedly, also when the record was alone in its batch",
        "the bundle cannot process the record: report a bug with the record attached",
    ),
    "forecast_too_large": Code(
        "the forecast is larger than the output topic accepts",
        "raise max.message.bytes of the output topic, or shorten the horizon",
    ),
}

#: Codes of errors that a faulty bundle can cause for good records.
CAUSED_BY_BUNDLE: Final = frozenset({"failed", "forecast_too_large"})
