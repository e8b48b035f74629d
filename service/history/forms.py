"""Classification of text cells: time, number, unit, missing value."""

from __future__ import annotations

import re

#: Spellings of a missing value; compared in lower case and stripped.
MISSING = (
    *(
        "",
        "na",
        "n/a",
        "nan",
        "null",
        "none",
        "nil",
        "-",
        "--",
        "---",
        "?",
        "#n/a",
        "#value!",
        "#div/0!",
        "\\n",
        "(null)",
        "m",
        "mm",
    ),
    *(
        "unavailable",
        "unknown",
        "undefined",
        "missing",
        "no data",
        "nodata",
        "not available",
        "bad",
        "bad input",
    ),
    *(
        "i/o timeout",
        "pt created",
        "error",
        "err",
        "fault",
        "invalid",
        "offline",
        "n.a.",
        "n.v.",
        "k.a.",
        "nd",
        "n/d",
    ),
)
_NUMBER = re.compile(r"^[-+−]?(\d[\d '  ’]*([.,][\d]+)*|[.,]\d+)([eE][-+]?\d+)?\s*%?$")
_STAMP = re.compile(
    r"^[\"']?(\w{2,9}\.?,? )?"
    r"((19|20)\d\d[-/]\d{1,2}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](\d{4}|\d{2})"
    r"|\d{4}[ /]\d{2}[ /]\d{2}|\d{1,2}[-/. ]{1,2}[^\W\d]{3,9}\.?,?[-/. ]\d{2,4}"
    r"|\d{4}[-/ ][^\W\d]{3,9}[-/ ]\d{1,2}|[^\W\d]{3,9}\.? \d{1,2},? \d{4}"
    r"|(19|20)\d{6}[T _-]?\d{0,6})"
    r"(?!\d|\.\d)"
)
_UNIT = re.compile(r"^[\[(<]?[^\W\d_]{0,4}[°%µμ/²³^*\- .\w]{0,8}[\])>]?$")
#: The form of a stamp, in place of a unit: `[dd.MM.yyyy HH:mm]`.
_PLACEHOLDER = re.compile(
    r"(?i)^\[?(d{1,2}|m{1,2}|y{2,4})([-/. ](d{1,2}|m{1,2}|y{2,4})){2}.{0,12}\]?$"
)
_UNIT_WORDS = (
    "volts",
    "deg c",
    "deg f",
    "degrees",
    "percent",
    "seconds",
    "celsius",
    "meters/second",
    "kw/meter^2",
    "watts",
)


def is_blank(cell: str) -> bool:
    """True for an empty cell or a spelling of a missing value."""
    return cell.strip().lower() in MISSING


def looks_like_time(cell: str) -> bool:
    """True for a date in figures or with a month name."""
    return bool(_STAMP.match(cell.strip()))


def looks_like_number(cell: str) -> bool:
    """True for a number with any decimal mark."""
    return bool(_NUMBER.match(cell.strip()))


def looks_like_unit(cell: str) -> bool:
    """True for an empty cell or one that is short enough for a unit."""
    plain = cell.strip()
    if plain.lower() in _UNIT_WORDS or _PLACEHOLDER.match(plain):
        return True
    return bool(_UNIT.match(plain))
