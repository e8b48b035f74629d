"""What columns are called: times, streams, values, and what no sensor sends."""

from __future__ import annotations

import re

_TIME = (
    *("timestamp", "datetime", "time", "ts", "ds", "date", "epoch", "unixtime", "timestampms", "epochms", "tstp"),
    *(
        "lastchanged",
        "lastupdated",
        "zeitstempel",
        "zeitpunkt",
        "zeit",
        "datumzeit",
        "datumuhrzeit",
        "messdatum",
        "datum",
    ),
    *(
        "fechahora",
        "fecha",
        "horodatage",
        "horodate",
        "dateheure",
        "dataora",
        "datahora",
        "tijdstip",
        "tidspunkt",
        "tid",
    ),
    *("timestamputc", "datetimeutc", "timeutc", "utctime", "utc", "localtime", "measuredat", "recordedat", "createdat"),
    *(
        "eventtime",
        "observedat",
        "sampletime",
        "readtime",
        "readat",
        "logtime",
        "when",
        "dato",
        "dag",
        "data",
        "periodstart",
    ),
)
#: Columns of a stamp that is spread over several: a day and a clock, or the parts one by one.
_DAYS = ("date", "datum", "fecha", "data", "dato", "day", "dag", "jour", "yyyymmdd", "localdate", "datelocal")
_CLOCKS = (
    *("time", "hour", "hourending", "hr", "h", "stunde", "clock", "uhrzeit", "zeit", "hora", "ora", "heure", "tijd"),
    *("tid", "hh", "localtime", "timelocal"),
)
_PARTS = (
    ("year", "yyyy", "yy", "yr", "jahr", "ano", "annee"),
    ("month", "mo", "mon", "mth", "monat", "mes", "mois"),
    ("day", "dd", "dy", "dom", "tag", "dia", "jour"),
    ("hour", "hh", "hr", "stunde", "hora", "heure"),
    ("minute", "min", "mins", "mn"),
    ("second", "sec", "ss"),
)
_DAYS_WITHIN = (
    ("doy", "dayofyear", "yday", "jday", "julianday"),
    ("weekday", "dayofweek", "dow", "wochentag", "jourdelasemaine"),
)
#: The place of the day of the week in `part_of_time`.
WEEKDAY = len(_PARTS) + 1
#: What names a stream by itself, and what only does beside something else, or where stamps repeat.
_SENSOR = (
    *("stream", "series", "sensor", "device", "meter", "station", "entity", "unique", "mac", "deveui", "lclid", "node"),
    *(
        "household",
        "asset",
        "turbine",
        "inverter",
        "machine",
        "pump",
        "well",
        "site",
        "house",
        "building",
        "friendlyname",
    ),
)
_QUANTITY = (
    *(
        "parameter",
        "metric",
        "variable",
        "field",
        "measurand",
        "channel",
        "pollutant",
        "quantity",
        "attribute",
        "topic",
    ),
    *(
        "item",
        "tag",
        "tagname",
        "key",
        "id",
        "name",
        "element",
        "measure",
        "signal",
        "type",
        "kind",
        "point",
        "room",
        "zone",
        "location",
    ),
)
_VALUE = (
    "value",
    "y",
    "reading",
    "measurement",
    "target",
    "val",
    "state",
    "wert",
    "messwert",
    "valor",
    "valeur",
    "waarde",
)
_COUNTER = (
    *(
        "",
        "no",
        "nr",
        "num",
        "index",
        "idx",
        "row",
        "rownumber",
        "unnamed0",
        "id",
        "record",
        "recordno",
        "recordnumber",
    ),
    *(
        "recnbr",
        "recno",
        "rn",
        "seq",
        "sequence",
        "sequencenumber",
        "seqno",
        "sample",
        "samplenumber",
        "lfdnr",
        "count",
    ),
    *("n", "line", "column1", "rowid", "recordid", "entry", "entryid"),
)
_PLACE = (
    "location",
    "stn",
    "lat",
    "latitude",
    "lon",
    "lng",
    "long",
    "longitude",
    "elevation",
    "altitude",
    "alt",
    "easting",
    "northing",
)
_FLAG = re.compile(r"(^(qn|quality|flag|status|qc|code|version|pid|zip|postcode|plz)\d*$)|(id|ids|code|flag|quality)$")
_CLOCK_NAME = re.compile(r"unix|epoch|timestamp|^ts$|^time$|clock|uptime|elapsed")


def plain(name: str) -> str:
    """`Time (UTC)` -> `time`, `date_time` -> `datetime`: names are compared in this form."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*", "", name.lower()))


def is_time_word(name: str) -> bool:
    """Whether a column of that name holds times."""
    return plain(name) in _TIME or plain(name) in ("date", "time", "year", "yyyy")


def always_time(name: str) -> bool:
    """Whether a column of that name holds times even where its figures are small."""
    return plain(name) in ("timestamp", "datetime", "time", "ts", "ds", "epoch", "unixtime", "timestampms", "epochms")


def named(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The column with the first of `names` that occurs."""
    known = {plain(name): name for name in reversed(columns)}
    return next((known[name] for name in names if name in known), None)


def time_column(columns: list[str]) -> str | None:
    """The column that is called like a time."""
    return named(columns, _TIME)


def day_and_clock(columns: list[str]) -> list[tuple[str, str]]:
    """Pairs of columns called like a day and a clock."""
    known = {plain(name): name for name in reversed(columns)}
    days, clocks = ([known[name] for name in names if name in known] for names in (_DAYS, _CLOCKS))
    return [(day, clock) for day in days for clock in clocks if day != clock]


def time_parts(columns: list[str]) -> tuple[str, ...]:
    """The columns called year, month, day and so on; none without the first three."""
    found = [named(columns, names) for names in _PARTS]
    return tuple(name for name in found if name) if all(found[:3]) else ()


def value_column(columns: list[str]) -> str | None:
    """The column that is called like the value of a long table."""
    return named(columns, _VALUE)


def stream_rank(name: str) -> int:
    """How much a name speaks for a column that names the stream: 0 = a sensor, 1 = a quantity, 2 = it does not."""
    word = plain(name)
    bare = word.removesuffix("id").removesuffix("no").removesuffix("name")
    if any(each in _SENSOR or each.removesuffix("s") in _SENSOR for each in (word, bare)):
        return 0
    return 1 if any(each in _QUANTITY for each in (word, bare)) else 2


def stream_order(name: str) -> int:
    """The place of a name in the lists of words for streams; the end, if it is none."""
    words = (*_SENSOR, *_QUANTITY)
    bare = plain(name).removesuffix("id").removesuffix("s")
    return words.index(bare) if bare in words else len(words)


def counter_word(name: str) -> bool:
    """Whether a column of that name may number the rows."""
    return plain(name) in _COUNTER or name.startswith("column ")


def place_word(name: str) -> bool:
    """Whether a column is called like a coordinate."""
    return plain(name) in _PLACE


def flag_word(name: str) -> bool:
    """Whether a column is called like an id, a code or a flag of quality."""
    return bool(_FLAG.search(plain(name))) or plain(name).startswith(("qn", "qc", "flag"))


def clock_word(name: str) -> bool:
    """Whether a column is called like a second clock."""
    return bool(_CLOCK_NAME.search(plain(name)))


def part_of_time(name: str) -> int | None:
    """Of a column called year, month, day, hour, minute, second, day of the year or of the week: its place here."""
    return next((place for place, names in enumerate((*_PARTS, *_DAYS_WITHIN)) if plain(name) in names), None)
