"""Mappings of well-known senders: settings of the group `input` by name of the preset.

Each is a set of defaults; whatever is set beside the preset wins.
"""

from __future__ import annotations

from typing import Final

_STRINGS = {"missing": 'unavailable, unknown, none, NaN, ""'}

PRESETS: Final[dict[str, dict[str, str]]] = {
    # {"fields": {"usage": 91.5}, "name": "cpu", "tags": {"host": "a"}, "timestamp": 1700000000},
    # or such objects in {"metrics": [...]}
    "telegraf": {
        "each": "/metrics/*",
        "stream": "{/tags/host}/{name}/{field}",
        "fields": "/fields/*",
        "timestamp": "/timestamp",
        "timestamp_unit": "auto",
    },
    # {"schema": {...}, "payload": {"timestamp": 1700000000000, "value": 20.0}}, the key likewise
    "connect": {
        "envelope": "connect",
        "timestamp": "/timestamp, record",
        "timestamp_unit": "auto",
    },
    # attributes in headers (ce_source) or in the document, which then holds {"data": {...}}
    "cloudevents": {
        "envelope": "cloudevents",
        "stream": "{header.ce_source}",
        "timestamp": "header.ce_time, record",
        "timestamp_unit": "iso",
    },
    # [{"bn": "urn:dev:1:", "n": "temp", "u": "Cel", "v": 21.4, "t": -5}]
    "senml": {"format": "senml"},
    # {"ts": 1700000000000, "values": {"temperature": 21.4}}
    "thingsboard": {
        "each": "/*",
        "stream": "{key}/{field}",
        "fields": "/values/*",
        "timestamp": "/ts, record",
        "lenient_numbers": "on",
    },
    # {"boiler": [{"ts": 1700000000000, "values": {"temperature": 21.4}}]}
    "thingsboard_gateway": {
        "each": "/*/*",
        "stream": "{1}/{field}",
        "fields": "/values/*",
        "timestamp": "/ts, record",
        "lenient_numbers": "on",
    },
    # {"temperature": 21.4, "humidity": 40, "linkquality": 90, "last_seen": 1700000000000}
    "zigbee2mqtt": {
        "stream": "{key}/{field}",
        "fields": "/*",
        "timestamp": "/last_seen, record",
        "streams": "!*/linkquality",
    },
    # {"end_device_ids": {"device_id": "d1"}, "received_at": "2023-11-14T22:13:20.123456789Z",
    #  "uplink_message": {"decoded_payload": {"temp": 21.4}}}
    "lorawan": {
        "where": "/uplink_message/decoded_payload",
        "stream": "{/end_device_ids/device_id}/{field}",
        "fields": "/uplink_message/decoded_payload/*",
        "timestamp": "/uplink_message/received_at, /received_at, record",
        "timestamp_unit": "iso",
    },
    # {"deviceInfo": {"devEui": "24e1", "deviceName": "d1"}, "time": "2023-11-14T22:13:20+00:00",
    #  "object": {"temp": 21.4}}
    "chirpstack": {
        "where": "/object",
        "stream": "{/deviceInfo/devEui}/{field}",
        "fields": "/object/*",
        "timestamp": "/time, record",
        "timestamp_unit": "iso",
    },
    # {"entity_id": "sensor.shed", "state": "21.4", "last_updated": "2023-11-14T22:13:20+00:00"}
    "home_assistant": {
        "stream": "{entity_id}",
        "value": "/state",
        "timestamp": "/last_updated, record",
        "timestamp_unit": "iso",
        "streams": "sensor.*, number.*, input_number.*",
        "lenient_numbers": "on",
        **_STRINGS,
    },
    # {"schema": {...}, "payload": {"before": null, "after": {"timestamp": 1, "value": 20.0},
    #  "op": "c", "ts_ms": 1700000000000}}, with or without the schema, the key likewise
    "debezium": {
        "envelope": "connect",
        "where": "/after",
        "value": "/after/value",
        "timestamp": "/after/timestamp, /ts_ms",
        "timestamp_unit": "auto",
    },
    "text": {"timestamp": "record", "lenient_numbers": "on"},
}

#: Settings that follow from `input.format`.
FORMATS: Final[dict[str, dict[str, str]]] = {
    "json": {},
    "avro": {},
    "senml": {
        "stream": "{name}",
        "value": "/value",
        "timestamp": "/time, record",
        "timestamp_unit": "s",
    },
    "influx": {
        "stream": "{series}/{field}",
        "fields": "/fields/*",
        "timestamp": "/timestamp, record",
        "timestamp_unit": "auto",
    },
    "text": {"timestamp": "record", "lenient_numbers": "on"},
}
