"""Settings of the records of forecasts."""

from __future__ import annotations

from math import isfinite
from typing import Literal, Self

from pydantic import Field, model_validator

from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import Group, require

#: Compression of record batches; form of a record's value.
Codec = Literal["gzip", "snappy", "lz4", "zstd"]
Format = Literal["json", "avro"]


class OutputSettings(Group):
    """The contents and form of a forecast's record."""

    format: Format = Field(
        "json",
        description="Form of a forecast: json, or avro, whose schema is registered as "
        "OUTPUT-TOPIC-value at schema_registry.url",
    )
    quantiles: str | None = Field(
        None,
        description="Write only these of the bundle's quantile levels, as .1,.5,.9; none = all",
    )
    leads: str | None = Field(
        None,
        description="Write only these leads of multi_step, in forecast intervals, as 1,6,24; the "
        "record then lists them in `leads`; none = all",
    )
    digits: str = Field(
        "3",
        pattern="^(all|[0-9]|1[0-2])$",
        description="Digits of forecasts below the leading digit of their interval's width "
        "(3: to a thousandth of it); all = exact, as avro always is",
    )
    compression: Codec | None = Field(
        None,
        description="Codec of the batches that the service writes (forecasts, dead letters and "
        "state rows); none = not compressed",
    )
    headers: str | None = Field(
        None,
        description="Headers of a reading's record that its forecast takes over, as "
        "traceparent,ce_id; none = none of them",
    )
    tombstones: bool = Field(
        False,
        description="Write a record without a value for a stream that a tombstone of the input "
        "removes",
    )

    @property
    def chosen_headers(self) -> frozenset[str]:
        """Names of the headers to take over."""
        return frozenset(listed(self.headers or ""))

    @property
    def chosen_quantiles(self) -> tuple[float, ...]:
        """Levels to write, () = all. Raises ValueError for a word that is no number."""
        return tuple(float(word) for word in listed(self.quantiles or ""))

    @property
    def chosen_leads(self) -> tuple[int, ...]:
        """Leads to write, from 1 on, () = all. Raises ValueError for a word that is no integer."""
        return tuple(int(word) for word in listed(self.leads or ""))

    @property
    def chosen_digits(self) -> int | None:
        """Digits below the leading digit of the width, None = all. In avro a number takes the
        same bytes however many digits it has."""
        return None if self.digits == "all" or self.format == "avro" else int(self.digits)

    @model_validator(mode="after")
    def _lists_of_numbers(self) -> Self:
        for name, example in (("quantiles", ".1,.5,.9"), ("leads", "1,6,24")):
            try:
                chosen: tuple[float, ...] = getattr(self, f"chosen_{name}")
            except ValueError:
                chosen = (float("nan"),)
            require(
                all(isfinite(number) and number > 0 for number in chosen)
                and list(chosen) == sorted(set(chosen)),
                f"output.{name} must be rising numbers above 0, separated by commas, as {example}",
            )
        return self
