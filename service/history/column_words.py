"""Typical names of columns, by role: times, streams, values, counters, places, flags."""

from __future__ import annotations

import re
from itertools import takewhile


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TIME = _listed("""
    timestamp datetime time ts ds date epoch unixtime timestampms epochms tstp lastchanged
    lastupdated zeitstempel zeitpunkt zeit datumzeit datumuhrzeit messdatum datum fechahora
    fecha horodatage horodate dateheure dataora datahora tijdstip tidspunkt tid timestamputc
    datetimeutc timeutc utctime utc localtime measuredat recordedat createdat eventtime
    observedat sampletime readtime readat logtime when dato dag data periodstart mtu
    datetimebegin datumunduhrzeit datumundzeit dateandtime fechayhora
""")
#: Columns of a stamp in several columns: a day and a clock, or its parts.
_DAYS = _listed("""
    date datum fecha data dato day dag jour yyyymmdd localdate datelocal
""")
_CLOCKS = _listed("""
    time hour hourending hourbeginning he hr h stunde clock uhrzeit zeit hora ora heure tijd tid
    hh localtime timelocal
""")
_PARTS = (
    ("year", "yyyy", "yy", "yr", "jahr", "ano", "annee"),
    ("month", "mo", "mon", "mth", "monat", "mes", "mois"),
    ("day", "dd", "dy", "dom", "tag", "dia", "jour"),
    ("hour", "hh", "hr", "stunde", "hora", "heure"),
    ("minute", "min", "mins", "mn"),
    ("second", "sec", "ss"),
)
#: Further parts of the time that a column may repeat.
_REPEATED = {
    "doy": ("doy", "dayofyear", "yday", "jday", "julianday"),
    "weekday": ("weekday", "dayofweek", "dow", "wochentag", "jourdelasemaine"),
    "week": ("week", "weekofyear", "weeknumber", "isoweek", "kw", "woche", "semaine"),
    "quarter": ("quarter", "qtr", "quartal", "trimestre"),
    "weekend": ("weekend", "isweekend", "wochenende"),
}
#: Names of columns that identify a stream alone,
#: and that do so with another column or where stamps repeat.
_SENSOR = _listed("""
    stream series sensor device meter station entity unique mac deveui lclid node household
    asset turbine inverter machine pump well site house building friendlyname
""")
_QUANTITY = _listed("""
    parameter metric variable field measurand channel pollutant quantity attribute topic item
    tag tagname key id name element measure signal type kind point room zone location
""")
_VALUE = _listed("""
    value y reading measurement target val state wert messwert valor valeur waarde
""")
_COUNTER = (
    "",
    *_listed("""
    no nr num index idx row rownumber unnamed0 id record recordno recordnumber recnbr recno rn
    seq sequence sequencenumber seqno sample samplenumber lfdnr count n line column1 rowid
    recordid entry entryid
    """),
)
_PLACE = _listed("""
    location stn lat latitude lon lng long longitude elevation altitude alt easting northing
    utcoffset gmtoffset tzoffset
""")
_QUALITY = re.compile(r"^(qn\d*|qc\d*|qflag)$|quality|validity|verification|(flag|qc)$")
_UNITS = _listed("unit units uom unitofmeasure unitofmeasurement einheit messeinheit unidad unite")
_END = re.compile(r"^(to|till|until|bis|ende|fin|hasta|stop)$|end$|^end|enddate|endtime")
#: Month, day and hour of a buoy's file, whose minute is another `mm`.
_NDBC = ("mm", "dd", "hh")
_ZONES = _listed("""
    tzcd tz timezone zone tzname utcoffset gmtoffset tzoffset
""")
_FLAG = re.compile(
    r"(^(qn|quality|flag|status|qc|code|version|pid|zip|postcode|plz|source|validity|verification)\d*$)"
    r"|(id|ids|code|flag|quality|validity)$"
)
_CLOCK_NAME = re.compile(r"unix|epoch|timestamp|^ts$|^time$|clock|uptime|elapsed|millis")

_CYCLE = re.compile(
    r"hour|stunde|heure|hora|minute|^(he|hr|hh|hhmm|mod|wd|dow|kw)$|period|slot|weekday|clock|frac"
)


def plain(name: str) -> str:
    """Normalised name for comparison: `Time (UTC)` -> `time`, `date_time` -> `datetime`."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*", "", name.lower()))


def is_time_word(name: str) -> bool:
    """True for a name of a column of times."""
    return plain(name) in _TIME or plain(name) in ("date", "time", "year", "yyyy")


def end_word(name: str) -> bool:
    """True for a name of the ends of intervals."""
    return bool(_END.search(plain(name)))


def always_time(name: str) -> bool:
    """True for a name of a column that holds times even if its figures are small."""
    return plain(name) in (
        "timestamp",
        "datetime",
        "time",
        "ts",
        "ds",
        "epoch",
        "unixtime",
        "timestampms",
        "epochms",
    )


def named(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The column with the first of `names` that is present."""
    known = {plain(name): name for name in reversed(columns)}
    return next((known[name] for name in names if name in known), None)


def time_column(columns: list[str]) -> str | None:
    """The column named like a time."""
    return named(columns, _TIME)


def day_and_clock(columns: list[str]) -> list[tuple[str, str]]:
    """Pairs of columns named like a day and a time of day."""
    known = {plain(name): name for name in reversed(columns)}
    days = [known[name] for name in _DAYS if name in known]
    return [(day, clock) for day in days for clock in clocks(columns) if day != clock]


def clocks(columns: list[str]) -> list[str]:
    """The columns named like a time of day."""
    known = {plain(name): name for name in reversed(columns)}
    return [known[name] for name in _CLOCKS if name in known]


def time_parts(columns: list[str]) -> tuple[str, ...]:
    """The columns named year, month, day and so on, or year, day of the year and so on; empty
    unless the date is complete."""
    if [name.lower() for name in columns[:4]] in (["yy", *_NDBC], ["yyyy", *_NDBC]):
        return tuple(columns[: 5 if columns[4:5] == ["mm"] else 4])
    year, month, day, *clock = (named(columns, names) for names in _PARTS)
    rest = tuple(takewhile(bool, clock))
    if year and month and day:
        return (year, month, day, *(name for name in rest if name))
    doy = named(columns, _REPEATED["doy"])
    return (year, doy, *(name for name in rest if name)) if year and doy else ()


def value_column(columns: list[str]) -> str | None:
    """The column named like the value of a long table."""
    return named(columns, _VALUE)


def stream_rank(name: str) -> int:
    """Rank of a name as an identifier of streams: 0 = a sensor, 1 = a quantity, 2 = neither."""
    word = plain(name)
    bare = word.removesuffix("id").removesuffix("no").removesuffix("name")
    if any(each in _SENSOR or each.removesuffix("s") in _SENSOR for each in (word, bare)):
        return 0
    return 1 if any(each in _QUANTITY for each in (word, bare)) else 2


def stream_order(name: str) -> int:
    """Index of a name in the lists of names for streams; their length if it is in neither."""
    words = (*_SENSOR, *_QUANTITY)
    bare = plain(name).removesuffix("id").removesuffix("s")
    return words.index(bare) if bare in words else len(words)


def counter_word(name: str) -> bool:
    """True for a name of a row counter."""
    return plain(name) in _COUNTER or name.startswith("column ")


def place_word(name: str) -> bool:
    """True for a name of a coordinate."""
    return plain(name) in _PLACE


def flag_word(name: str) -> bool:
    """True for a name of an id, a code or a quality flag."""
    return bool(_FLAG.search(plain(name))) or plain(name).startswith(("qn", "qc", "flag"))


def quality_word(name: str) -> bool:
    """True for a name of a column with the quality of readings."""
    return bool(_QUALITY.search(plain(name))) or name.lower().endswith(("_q", "_qc"))


def clock_word(name: str) -> bool:
    """True for a name of a second clock."""
    return bool(_CLOCK_NAME.search(plain(name)))


def cycle_word(name: str) -> bool:
    """True for a name of a part of the day or week: hour, period, slot, weekday."""
    return bool(_CYCLE.search(plain(name)))


def unit_word(name: str) -> bool:
    """True for a name of a column of units."""
    return plain(name) in _UNITS


def zone_word(name: str) -> bool:
    """True for a name of a column of time zones."""
    return plain(name) in _ZONES


def part_of_time(name: str) -> str | None:
    """The part of the time that a name stands for: year, month, day, hour, minute, second, doy,
    weekday, week, quarter, weekend; None otherwise."""
    named = {
        **dict(zip(("year", "month", "day", "hour", "minute", "second"), _PARTS, strict=True)),
        **_REPEATED,
    }
    return next((part for part, names in named.items() if plain(name) in names), None)
