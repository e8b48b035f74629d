"""Observations as they may be sent, and values that are none, with what becomes of each."""

from __future__ import annotations

import math

NOW = 1_700_000_000_000

#: JSON of a value of one channel, and the reading.
VALUES = [
    (b"21", 21.0),
    (b"-0.5e1", -5.0),
    (b"[21.5]", 21.5),
    (b"[null]", math.nan),
    (b"9007199254740993", 9007199254740992.0),
    (b"123456789012345678901234567890", 1.2345678901234568e29),
    (b"-1e30", -1e30),
    (b"48211734.25", 48211734.25),
]

#: JSON of a timestamp, and ms since the epoch; the record's broker time is NOW + 7.
STAMPS = [
    (b"100000000000", 100_000_000_000),
    (b'"1970-01-01"', 0),
    (b'"1970-01-01T00:00:01"', 1000),
    (b'"2023-11-14T22:13:20Z"', NOW),
    (b'"2023-11-15T00:13:20+02:00"', NOW),
    (b'"2023-11-14 22:13:20.0019"', NOW + 1),
    (b'"2023-11-14"', NOW // 86_400_000 * 86_400_000),
    (b"null", NOW + 7),
]

#: Values of records of one channel with the broker time NOW that are none, and the error.
REFUSED = [
    (b"", "not_json"),
    (b"hello", "not_json"),
    (b"21.4", "not_json"),
    (b"null", "not_json"),
    (b'[{"value":1}]', "not_json"),
    (b'{"value":1', "not_json"),
    (b'{"value":1},{"value":2}', "not_json"),
    (b'{"value":1}{"value":2}', "not_json"),
    (b'{"value":1}\n{"value":2}', "not_json"),
    (b'\xff{"value":1}', "not_json"),
    (b'\xef\xbb\xbf{"value":1}', "not_json"),
    (b'{"value":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
    (b"{}", "no_value"),
    (b'{"Value":1}', "no_value"),
    (b'{"value":"21.4"}', "not_a_number"),
    (b'{"value":{"celsius":1}}', "not_a_number"),
    (b'{"value":true}', "not_a_number"),
    (b'{"value":[true]}', "not_a_number"),
    (b'{"value":[[1]]}', "not_a_number"),
    (b'{"value":NaN}', "not_finite"),
    (b'{"value":-Infinity}', "not_finite"),
    (b'{"value":1e999}', "not_finite"),
    (b'{"value":' + b"9" * 400 + b"}", "not_finite"),
    (b'{"value":' + b"9" * 10_000 + b"}", "not_finite"),
    (b'{"value":[1,2]}', "wrong_channels"),
    (b'{"value":[]}', "wrong_channels"),
    (b'{"value":1,"timestamp":"yesterday"}', "bad_timestamp"),
    (b'{"value":1,"timestamp":""}', "bad_timestamp"),
    (b'{"value":1,"timestamp":"1700000000000"}', "bad_timestamp"),
    (b'{"value":1,"timestamp":"2001010112345"}', "bad_timestamp"),
    (b'{"value":1,"timestamp":-1}', "bad_timestamp"),
    (b'{"value":1,"timestamp":"1969-12-31T23:59:59Z"}', "bad_timestamp"),
    (b'{"value":1,"timestamp":1.5}', "bad_timestamp"),
    (b'{"value":1,"timestamp":true}', "bad_timestamp"),
    (b'{"value":1,"timestamp":[1]}', "bad_timestamp"),
    (b'{"value":1,"timestamp":1700000000000000000}', "bad_timestamp"),
    (b'{"value":1,"timestamp":' + b"9" * 30 + b"}", "bad_timestamp"),
    (b'{"value":1,"timestamp":' + b"9" * 5000 + b"}", "bad_timestamp"),
    (b'{"value":1,"timestamp":1700003600001}', "far_future"),
    (b'{"value":1,"timestamp":"2023-11-15T22:13:20Z"}', "far_future"),
    (b'{"value":1,"pad":"' + b"x" * 5_000_000 + b'"}', "too_large"),
]
