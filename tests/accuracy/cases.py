"""The cases to measure: one bundle and one protocol each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from eddycast.training.evaluation.protocols.gift import LENGTHS
from eddycast.training.fitting.families import AUTO, FAMILIES
from eddycast.training.models.seq2seq import SEQ2SEQ

PARTS = (
    "ltsf-etth1", "ltsf-ettm1", "plain", "gift", "online", "rolling", "book", "unseen",
    "holes", "start", "anomaly",
)  # fmt: skip
YARDSTICKS = ("naive", "seasonal_naive")
OTHERS = tuple(family for family in FAMILIES if family not in (*YARDSTICKS, "lstm", "ar"))
ROLLING = (
    "Beijing, PM2.5",
    "PJM",
    "household",
    "Victoria",
    "wind",
    "solar",
    "traffic",
    "water flow",
)
ALARMS = ("Beijing, PM2.5", "PJM", "household")
HOLES = ("Beijing, PM2.5", "wind")
UNSEEN = {"ETTh1": "OT", "Beijing, PM2.5": "PRSA_Data_Gucheng_20130301-20170228 PM2.5"}


@dataclass(frozen=True)
class Case:
    """One row of a table. `split` None = the protocol's; `horizon` 0 = one day."""

    part: str
    data: str
    protocol: str
    family: str
    horizon: int = 0
    seed: int = 0
    linear_path: bool = True
    split: str | None = None
    epochs: int | None = None
    seeds: int = 0  # of the book

    @property
    def name(self) -> str:
        """A file name."""
        words = [
            self.part,
            self.data,
            self.family,
            "" if self.linear_path else "plain",
            str(self.horizon),
        ]
        return (
            "-".join(filter(None, [*words, f"s{self.seed}"]))
            .lower()
            .replace(" ", "_")
            .replace(",", "")
        )


def cases(quick: bool = False) -> list[Case]:
    """Everything, or what fits into a few minutes."""
    return list(_quick() if quick else _full())


def _full() -> Iterator[Case]:
    for part, data, rows in (("ltsf-etth1", "ETTh1", 1), ("ltsf-ettm1", "ETTm1", 4)):
        case = partial(Case, part, data, "ltsf", split=_months(rows))
        for horizon in (96, 192, 336, 720):
            yield from (case(family, horizon) for family in ("lstm", "ar"))
        yield case("lstm", 96, seed=1)
        yield from (
            case(family, 96, seed)
            for family in OTHERS
            for seed in ((0,) if family == SEQ2SEQ else (0, 1))
        )
    for data, rows, horizons in (("ETTh1", 1, (192, 336, 720)), ("ETTm1", 4, (720,))):
        part = f"ltsf-{data.lower()}"
        yield from (
            Case(part, data, "ltsf", AUTO, horizon, split=_months(rows)) for horizon in horizons
        )
    yield from (
        Case("plain", "ETTh1", "ltsf", "gru", 96, seed, False, _months(1)) for seed in (0, 1)
    )
    for data in ("ETTm1 by hour", "ETTm1"):
        yield from (
            Case("gift", data, "gift", family, h)
            for h in LENGTHS.values()
            for family in ("lstm", "ar", AUTO)
        )
        yield Case("gift", data, "gift", "lstm", LENGTHS["short"], seed=1)
    yield from (Case("online", "ETTm1", "online", family, 48) for family in ("ar", AUTO))
    yield from (Case("online", "ETTm1", "online", "lstm", 48, seed) for seed in (0, 1))
    yield from (
        Case("rolling", data, "rolling", family) for data in ROLLING for family in ("lstm", "ar")
    )
    yield Case("book", "drawn", "book", "ar", 64, seeds=200)
    yield from (Case("unseen", data, "rolling", "lstm") for data in UNSEEN)
    yield from (Case("holes", data, "rolling", "lstm") for data in HOLES)
    yield Case("start", "ETTh1", "ltsf", "lstm", 96, split=_months(1))
    yield Case("anomaly", "NAB", "nab", "ar", 12)
    yield from (Case("anomaly", data, "rolling", "ar") for data in ALARMS)


def _quick() -> Iterator[Case]:
    for family in ("ar", "lstm"):
        yield Case("ltsf-etth1", "ETTh1", "ltsf", family, 96, split=_months(1), epochs=1)
    yield Case("gift", "ETTm1 by hour", "gift", "ar", LENGTHS["short"])
    for data in ("wind", "solar", "water flow"):
        yield Case("rolling", data, "rolling", "ar")
    yield Case("book", "drawn", "book", "ar", 64, seeds=20)
    yield Case("start", "ETTh1", "ltsf", "lstm", 96, split=_months(1), epochs=1)


def _months(rows_an_hour: int) -> str:
    """12, 4 and 4 months of 30 days."""
    return ",".join(str(30 * 24 * months * rows_an_hour) for months in (12, 4, 4))
