"""Names of months and their beginnings, of three letters or, where these are shared, four."""

from __future__ import annotations

#: What a name begins with, by month: English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian.
_BEGINNINGS = (
    "jan ene gen",
    "feb fév fev",
    "mar mär mrz maa mars",
    "apr avr abr",
    "may mai mei mag maj",
    "jun juin giu",
    "jul juil lug",
    "aug aoû aou ago",
    "sep set",
    "oct okt ott out",
    "nov",
    "dec dez déc dic des",
)
MONTHS = {word: month for month, words in enumerate(_BEGINNINGS, 1) for word in words.split()}
