"""Settings of `output.*` that are compared: the content and form of a written forecast."""

from __future__ import annotations

from collections.abc import Mapping

#: The form that the others are compared with: every lead and level, with all digits.
EXACT = "json_exact"
_CHOSEN = {"quantiles": ".1,.5,.9", "leads": "1,2,3,6,12,18,24,36,48,60,72,96"}

#: Settings of the group `output` by form.
FORMS: Mapping[str, Mapping[str, str]] = {
    EXACT: {"digits": "all"},
    "json": {},
    "json_lz4": {"compression": "lz4"},
    "json_zstd": {"compression": "zstd"},
    "avro": {"format": "avro"},
    "avro_lz4": {"format": "avro", "compression": "lz4"},
    "json_chosen": _CHOSEN,
    "avro_chosen": {**_CHOSEN, "format": "avro"},
}
#: What a table calls them.
LABELS: Mapping[str, str] = {
    EXACT: "JSON, everything, all digits",
    "json": "JSON, everything (default)",
    "json_lz4": "the same, lz4",
    "json_zstd": "the same, zstd",
    "avro": "Avro, everything",
    "avro_lz4": "the same, lz4",
    "json_chosen": "JSON, 3 levels x 12 leads",
    "avro_chosen": "Avro, 3 levels x 12 leads",
}
