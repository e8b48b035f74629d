"""Records of well-known senders, made by hand: the settings that read them, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.bundles import START_MS

MINUTE = 60_000
#: Stream, minutes after START_MS, value (None = missing).
Expected = tuple[str, int, float | None]


@dataclass(frozen=True)
class Shape:
    """Records of one sender: key, value and headers; with the readings that they hold."""

    settings: dict[str, Any]
    records: Sequence[tuple[bytes | None, Any, list[tuple[str, bytes]]]]
    expected: Sequence[Expected]
    filtered: int = 0
    refused: Sequence[str] = field(default=())  # errors

    def encoded(self) -> list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]:
        """The records as bytes."""
        return [
            (key, value if isinstance(value, bytes) else json.dumps(value).encode(), headers)
            for key, value, headers in self.records
        ]


def ms(minute: int) -> int:
    return START_MS + minute * MINUTE


def s(minute: int) -> int:
    return ms(minute) // 1000


def iso(minute: int) -> str:
    return datetime.fromtimestamp(s(minute), UTC).isoformat().replace("+00:00", "Z")


def record(
    value: Any, key: bytes | None = b"k", **headers: str
) -> tuple[bytes | None, Any, list[tuple[str, bytes]]]:
    return key, value, [(name, text.encode()) for name, text in headers.items()]


def _telegraf(minute: int, **fields: Any) -> dict[str, Any]:
    return {"fields": fields, "name": "cpu", "tags": {"host": "a"}, "timestamp": s(minute)}


def _event(minute: int, value: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(minute),
        "type": "reading",
        "source": "plant/1",
        "time": iso(minute),
        "data": {"value": value},
    }


def _uplink(minute: int, **payload: Any) -> dict[str, Any]:
    return {
        "end_device_ids": {"device_id": "d1"},
        "received_at": iso(minute),
        "uplink_message": {"f_port": 2, "decoded_payload": payload},
    }


def _state(minute: int, entity: str, state: str) -> dict[str, Any]:
    return {
        "entity_id": entity,
        "state": state,
        "attributes": {"unit_of_measurement": "°C"},
        "last_updated": iso(minute),
    }


def _change(minute: int, after: Any, op: str = "c") -> dict[str, Any]:
    return {
        "schema": {"type": "struct"},
        "payload": {"before": None, "after": after, "op": op, "ts_ms": ms(minute)},
    }


SHAPES: dict[str, Shape] = {
    "plain": Shape(
        {"streams": "*, !test/*"},
        [
            record({"timestamp": ms(0), "value": 1.5}),
            record({"timestamp": iso(1), "value": None}),
            record({"timestamp": ms(1), "value": 1}, b"test/a"),
            record({"timestamp": s(2), "value": 1}),
            record({"timestamp": ms(3), "value": "1"}),
            record(b"{"),
        ],
        [("k", 0, 1.5), ("k", 1, None)],
        filtered=1,
        refused=["seconds", "not_a_number", "not_json"],
    ),
    "nested": Shape(
        {
            "stream": "{/site}/{/device/id}",
            "value": "/payload/temp",
            "timestamp": "/ts",
            "timestamp_unit": "auto",
            "where": "/type = reading and header.test != yes",
        },
        [
            record(
                {"site": "s", "device": {"id": 7}, "type": "reading", "ts": s(0)}
                | {"payload": {"temp": 21.4, "hum": 3}}
            ),
            record({"site": "s", "device": {"id": 7}, "type": "status", "ts": s(0)}),
            record(
                {"site": "s", "device": {"id": 7}, "type": "reading", "ts": s(1)}
                | {"payload": {"temp": 21.5}},
                None,
            ),
            record(
                {"site": "s", "device": {"id": 7}, "type": "reading", "ts": s(1)}
                | {"payload": {"temp": 21.5}},
                test="yes",
            ),
            record(
                {"site": "s", "device": {}, "type": "reading", "ts": s(2)}
                | {"payload": {"temp": 21.6}}
            ),
            record(
                {"site": "s", "device": {"id": 7}, "type": "reading"} | {"payload": {"temp": 21.6}}
            ),
            record({"site": "s", "device": {"id": 7}, "type": "reading", "ts": s(2)}),
        ],
        [("s/7", 0, 21.4), ("s/7", 1, 21.5)],
        filtered=2,
        refused=["no_stream", "bad_timestamp", "no_value"],
    ),
    "each": Shape(
        {"each": "/readings/*", "stream": "{device}", "value": "/v", "timestamp": "/t"},
        [
            record({"device": "d", "readings": [{"t": ms(i), "v": i} for i in range(4)]}),
            record({"device": "d", "readings": [{"t": ms(4), "v": "x"}, {"t": ms(4), "v": 4}]}),
            record({"device": "d", "readings": []}),
            record({"device": "d", "t": ms(5), "v": 5}),
            record({"device": "d", "readings": [{"t": ms(6), "v": [1]}, {"v": 4}, {"t": 6}, 7]}),
        ],
        [("d", i, i) for i in range(6)] + [("d", 6, 1.0)],
        filtered=2,
        refused=["not_a_number", "bad_timestamp", "seconds"],
    ),
    "telegraf": Shape(
        {"preset": "telegraf"},
        [
            record(_telegraf(0, usage=91.5, cores=4)),
            record({"metrics": [_telegraf(1, usage=91.0), _telegraf(2, usage=90, note="x")]}),
            record(_telegraf(3, usage=None, up=True)),
            record({"name": "cpu", "tags": {"host": "a"}, "timestamp": s(4)}),
            record({"metrics": [_telegraf(4, usage=9), {"fields": {"usage": 1}, "name": "cpu"}]}),
        ],
        [
            ("a/cpu/usage", 0, 91.5),
            ("a/cpu/cores", 0, 4.0),
            ("a/cpu/usage", 1, 91.0),
            ("a/cpu/usage", 2, 90.0),
            ("a/cpu/usage", 3, None),
            ("a/cpu/usage", 4, 9.0),
        ],
        filtered=2,
        refused=["no_value", "no_stream"],
    ),
    "connect": Shape(
        {"preset": "connect"},
        [
            record(
                {"schema": {"type": "struct"}, "payload": {"timestamp": ms(0), "value": 20.0}},
                b'{"schema":{"type":"string"},"payload":"boiler"}',
            ),
            record({"schema": None, "payload": {"timestamp": ms(1), "value": 21}}, b"boiler"),
            record({"timestamp": ms(2), "value": 22}, b'{"schema":null,"payload":{"id":"boiler"}}'),
            record({"schema": None, "payload": None}, b"boiler"),
        ],
        [("boiler", 0, 20.0), ("boiler", 1, 21.0), ("boiler", 2, 22.0)],
        refused=["no_value"],
    ),
    "cloudevents": Shape(
        {"preset": "cloudevents"},
        [
            record(_event(0, 1.5)),
            record({"value": 2}, None, ce_source="plant/1", ce_time=iso(1), ce_type="reading"),
            record({"value": 2}, None, ce_time=iso(1)),
            record({"value": 3}, None, ce_source="plant/1", ce_time="now"),
        ],
        [("plant/1", 0, 1.5), ("plant/1", 1, 2.0)],
        refused=["no_stream", "bad_timestamp"],
    ),
    "senml": Shape(
        {"preset": "senml", "booleans": True},
        [
            record(
                [
                    {"bn": "urn:dev:1:", "bt": s(0), "bu": "Cel", "n": "temp", "v": 21.4},
                    {"n": "temp", "t": 60, "v": 21.5},
                    {"n": "label", "vs": "north"},
                    {"n": "door", "vb": True},
                    {"n": "sum", "s": 4},
                ]
            ),
            record([{"bn": "urn:dev:2", "bv": 20, "bt": s(2)}, {"v": 1}, {"n": 7, "v": 1}]),
            record({"bn": "urn:dev:1"}),
        ],
        [
            ("urn:dev:1:temp", 0, 21.4),
            ("urn:dev:1:temp", 1, 21.5),
            ("urn:dev:1:door", 0, 1.0),
            ("urn:dev:2", 2, 21.0),
        ],
        filtered=1,
        refused=["no_value", "no_stream", "not_json"],
    ),
    "text": Shape(
        {"format": "text", "timestamp": "header.at", "timestamp_unit": "iso", "missing": "off"},
        [
            record(b" 21.4\n", at=iso(0)),
            record(b"off", at=iso(1)),
            record(b"on", at=iso(2)),
            record(b"\xff", at=iso(2)),
        ],
        [("k", 0, 21.4), ("k", 1, None)],
        refused=["not_a_number", "not_a_number"],
    ),
    "thingsboard": Shape(
        {"preset": "thingsboard"},
        [
            record({"ts": ms(0), "values": {"temp": 21.4, "name": "x"}}, b"d1"),
            record([{"ts": ms(1), "values": {"temp": "21.5"}}], b"d1"),
            record({"ts": "soon", "values": {"temp": 1}}, b"d1"),
        ],
        [("d1/temp", 0, 21.4), ("d1/temp", 1, 21.5)],
        filtered=1,
        refused=["bad_timestamp"],
    ),
    "thingsboard_gateway": Shape(
        {"preset": "thingsboard_gateway"},
        [
            record(
                {
                    "A": [
                        {"ts": ms(0), "values": {"temp": 1}},
                        {"ts": ms(1), "values": {"temp": 2}},
                    ],
                    "B": [{"ts": ms(0), "values": {"temp": 3, "hum": 4}}],
                },
                None,
            ),
            record({"A": [{"ts": ms(2)}]}, None),
        ],
        [("A/temp", 0, 1.0), ("A/temp", 1, 2.0), ("B/temp", 0, 3.0), ("B/hum", 0, 4.0)],
        refused=["no_value"],
    ),
    "zigbee2mqtt": Shape(
        {"preset": "zigbee2mqtt"},
        [
            record(
                {"temperature": 21.4, "humidity": 40, "last_seen": ms(0), "linkquality": 9}, b"shed"
            ),
            record({"temperature": 21.5, "action": "on", "last_seen": iso(1)}, b"shed"),
            record({"temperature": 1e40, "last_seen": iso(2)}, b"shed"),
        ],
        [("shed/temperature", 0, 21.4), ("shed/humidity", 0, 40.0), ("shed/temperature", 1, 21.5)],
        filtered=2,
        refused=["not_finite"],
    ),
    "lorawan": Shape(
        {"preset": "lorawan"},
        [
            record(_uplink(0, temp=21.4, battery=3.6)),
            record({"end_device_ids": {"device_id": "d1"}, "join_accept": {}}),
            record(_uplink(1, temp=21.5, gps={"lat": 1})),
        ],
        [("d1/temp", 0, 21.4), ("d1/battery", 0, 3.6), ("d1/temp", 1, 21.5)],
        filtered=2,
    ),
    "chirpstack": Shape(
        {"preset": "chirpstack"},
        [
            record({"deviceInfo": {"devEui": "24e1"}, "time": iso(0), "object": {"temp": 21.4}}),
            record({"deviceInfo": {"devEui": "24e1"}, "time": iso(1)}),
        ],
        [("24e1/temp", 0, 21.4)],
        filtered=1,
    ),
    "home_assistant": Shape(
        {"preset": "home_assistant"},
        [
            record(_state(0, "sensor.shed", "21.4"), None),
            record(_state(1, "sensor.shed", "unavailable"), None),
            record(_state(1, "light.shed", "on"), None),
            record(_state(2, "sensor.shed", "north"), None),
        ],
        [("sensor.shed", 0, 21.4), ("sensor.shed", 1, None)],
        filtered=1,
        refused=["not_a_number"],
    ),
    "debezium": Shape(
        {"preset": "debezium", "stream": "{/after/sensor}"},
        [
            record(_change(0, {"sensor": "p1", "timestamp": ms(0) * 1000, "value": 20.0})),
            record(_change(1, {"sensor": "p1", "value": 21})["payload"], b'{"payload":{"id":1}}'),
            record(_change(2, None, "d")),
            record(_change(3, {"sensor": "p1", "timestamp": ms(3)})),
        ],
        [("p1", 0, 20.0), ("p1", 1, 21.0)],
        filtered=1,
        refused=["no_value"],
    ),
    "framed": Shape(
        {"framing": "confluent"},
        [
            record(b"\x00\x00\x00\x00\x07" + json.dumps({"timestamp": ms(0), "value": 1}).encode()),
            record(b"\x01" + b"g" * 16 + json.dumps({"timestamp": ms(1), "value": 2}).encode()),
            record({"timestamp": ms(2), "value": 3}),
            record(b"\x00\x00\x00\x00\x07\x02\x48"),
            record(b"\x00"),
        ],
        [("k", 0, 1.0), ("k", 1, 2.0), ("k", 2, 3.0)],
        refused=["not_json", "not_json"],
    ),
    "influx": Shape(
        {"format": "influx", "booleans": True},
        [
            record(
                f'cpu,region=eu,host=a usage=91.5,cores=4i,note="x y, z=1" {ms(0)}000000\n'
                f"# a comment\n\ncpu,host=a\\ b,region=eu up=t {ms(1)}000000\nbad line\n".encode()
            ),
            record(b"cpu usage=1e40 %d" % (ms(0) * 1_000_000)),
            record(b"cpu usage=%si" % (b"9" * 5_000)),
            record(b"cpu usage=1 %s" % (b"9" * 5_000)),
            record(b""),
        ],
        [
            ("cpu,host=a,region=eu/usage", 0, 91.5),
            ("cpu,host=a,region=eu/cores", 0, 4.0),
            ("cpu,host=a b,region=eu/up", 1, 1.0),
        ],
        filtered=1,
        refused=["not_influx", "not_finite", "not_finite", "not_influx", "not_influx"],
    ),
}
