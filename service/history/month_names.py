"""Prefixes of month names: three letters, or four where three are ambiguous."""

from __future__ import annotations

#: Prefixes by month: English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian.
_PREFIXES = (
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
MONTHS = {word: month for month, words in enumerate(_PREFIXES, 1) for word in words.split()}
