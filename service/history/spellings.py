"""Spellings of stamps with the fields in an unusual place, rewritten to the usual order: a date,
then a clock, then a zone.

`Fri Mar 1 00:00:00 2024`, `00:00 01/03/2024`, `01MAR2024:00:00:00`, `2024年3月1日 0時`,
a day of the week in any language.
"""

from __future__ import annotations

import polars as pl

_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"
#: Patterns and what they become, applied in this order.
_RULES = (
    (r"(.)\[[^\]]*\]$", "${1}"),  # 2024-03-01T00:00+01:00[Europe/Berlin]
    (r"^(\d{4})[年년]\s*(\d{1,2})[月월]\s*(\d{1,2})[日일]\s*", "${1}-${2}-${3} "),
    (r"(\d)[時时시]\s*(\d{1,2})[分분]\s*(\d{1,2})[秒초]$", "${1}:${2}:${3}"),
    (r"(\d)[時时시]\s*(\d{1,2})[分분]$", "${1}:${2}"),
    (r"(\d)[時时시]$", "${1}:00"),
    # a day of the week before a date: Fri, 01 Mar 2024; ven. 01/03/2024; Friday, March 1, 2024
    (r"^\p{L}{2,12}[.,]*\s+(\d{1,2}(?:[-/.]\d|\.?[ -]*\p{L}{3})|\d{4}[-/.])", "${1}"),
    (r"^\p{L}{2,12}[.,]*\s+(\p{L}{3,9}\.?\s+\d)", "${1}"),
    # the year at the end: Mar 1 00:00:00 UTC 2024
    (
        rf"^(\p{{L}}{{3,9}})\.?\s+(\d{{1,2}})\s+({_CLOCK})(\s+\S+)?\s+(\d{{4}})$",
        "${2} ${1} ${5} ${3}${4}",
    ),
    (rf"^({_CLOCK}(?: ?[AaPp][Mm])?),?\s+(\d{{1,4}}[-/. ].+)$", "${2} ${1}"),
    (r"^(\d{1,2})(\p{L}{3})(\d{4}|\d{2})([ :T]|$)", "${1}-${2}-${3}${4}"),
    (r"^(\d{4}) (\d\d) (\d\d) (\d\d) (\d\d)$", "${1}-${2}-${3} ${4}:${5}"),
    (r"^(\d{4}) (\d\d) (\d\d) (\d\d) (\d\d) (\d\d)$", "${1}-${2}-${3} ${4}:${5}:${6}"),
)
#: Number of stamps by which a rule is chosen.
_SEEN = 100
#: A stamp followed by the end of its interval: `01.03.2024 00:00 - 01.03.2024 01:00`,
#: `... 00:00 - 01:00`, `2024-03-01T00:00Z/2024-03-01T01:00Z`. A zone after it is kept.
_SPAN = (
    r"(\d[:.]\d\d(?:[:.]\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\s*(?:\s-\s|[–/]|\sto\s|\sbis\s)"
    r"\s*\d[\dT./:\s-]*[:.]\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?(\s*\([A-Z]+\))?$"
)


def usual_order(cells: pl.Series) -> pl.Series:
    """The stamps in the usual order of fields; other texts are unchanged."""
    known = cells.drop_nulls().head(_SEEN)
    for pattern, order in _RULES:
        if known.str.contains(pattern).any():
            cells = cells.str.replace(pattern, order)
            known = known.str.replace(pattern, order)
    return cells


def without_ends(cells: pl.Series) -> tuple[pl.Series, bool]:
    """(the starts of stamps that are intervals, True if there are some)."""
    spans = cells.str.contains(_SPAN).fill_null(False)
    return (cells.str.replace(_SPAN, "${1}${2}"), True) if spans.any() else (cells, False)
