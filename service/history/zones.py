"""Time zones at the end of written stamps: `+01:00`, `Z`, `CET`, `GMT+0100`, `(UTC)`.

Abbreviations that stand for several zones (CST, IST, BST) are none, unless the summer time beside
them settles it: `(CST/CDT)`.
"""

from __future__ import annotations

import re

import polars as pl

from eddycast.service.records import Int64

_ABBREVIATIONS = {
    "+00": "wet",
    "+01": "cet mez west",
    "+02": "cest mesz eet sast",
    "+03": "eest msk trt",
    "+08": "hkt sgt awst",
    "+09": "jst kst",
    "+0930": "acst",
    "+10": "aest",
    "+1030": "acdt",
    "+11": "aedt",
    "+12": "nzst",
    "+13": "nzdt",
    "-10": "hst",
    "-09": "akst",
    "-08": "akdt pst",
    "-07": "pdt mst",
    "-06": "mdt",
    "-05": "est",
    "-04": "edt",
    "-03": "brt",
}
#: Standard and summer time together, as in `Time (CET/CEST)`.
PAIRS = {
    "cet/cest": "Europe/Brussels",
    "mez/mesz": "Europe/Berlin",
    "wet/west": "Europe/Lisbon",
    "eet/eest": "Europe/Helsinki",
    "gmt/bst": "Europe/London",
    "est/edt": "America/New_York",
    "cst/cdt": "America/Chicago",
    "mst/mdt": "America/Denver",
    "pst/pdt": "America/Los_Angeles",
    "aest/aedt": "Australia/Sydney",
    "nzst/nzdt": "Pacific/Auckland",
}
#: Abbreviations that stand for several zones.
AMBIGUOUS = ("cst", "cdt", "ist", "bst", "ast")
_HOURS = {word: hours for hours, words in _ABBREVIATIONS.items() for word in words.split()}
_CLOCKED = r"(?i)(:\d\d(?:[.,]\d+)?|T\d{4,6}(?:[.,]\d+)?|\d [ap]m)"
_ZONE = (
    _CLOCKED
    + rf"\s*\(?(z|(?:etc/)?utc|gmt|{'|'.join(_HOURS)}"
    + r"|(?:utc|gmt)?[+-]\d\d(?::?\d\d)?)\)?(?:\s+\(?[a-z][a-z /]+\)?)?$"
)
_ALONE = re.compile(rf"(?:z|utc|gmt|{'|'.join(_HOURS)}|(?:utc|gmt)?[+-]\d\d(?::?\d\d)?)")
_PAIR = r"\s*\(([A-Z]{2,4}/[A-Z]{3,4})\)$"


def is_zone(word: str) -> bool:
    """True for an abbreviation or an offset, in lower case, that stands for one zone."""
    return bool(_ALONE.fullmatch(word))


def pair_of(cells: pl.Series) -> tuple[pl.Series, str | None]:
    """(stamps, zone) of stamps that all end with the names of both times of a zone:
    `01.03.2024 00:00 (CET/CEST)`; other stamps are unchanged, None."""
    pairs = cells.str.extract(_PAIR, 1)
    found = pairs.drop_nulls().unique().to_list()
    if len(found) != 1 or pairs.null_count() > cells.null_count():
        return cells, None
    zone = PAIRS.get(found[0].lower())
    return (cells.str.replace(_PAIR, ""), zone) if zone else (cells, None)


def zones_of(cells: pl.Series) -> pl.Series:
    """The zone that each stamp ends with, in lower case; null = none."""
    return cells.str.extract(_ZONE, 2).str.to_lowercase()


def without_zones(cells: pl.Series) -> pl.Series:
    """The stamps without their zones."""
    return cells.str.replace(_ZONE, "$1")


def offset_ms(zones: pl.Series) -> Int64:
    """Offsets of zones in ms: `+01:00` and `cet` -> 3,600,000; `z`, `gmt` and `utc` -> 0."""
    plain = zones.replace(_HOURS)
    digits = plain.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
    hours, minutes = (digits.str.slice(start, 2).cast(pl.Int64, strict=False) for start in (0, 2))
    sign = plain.str.contains("-").cast(pl.Int64) * -2 + 1
    offset = ((hours * 60 + minutes) * sign * 60_000).fill_null(0)
    return offset.to_numpy().astype("int64")
