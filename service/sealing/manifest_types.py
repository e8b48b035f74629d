"""Types and limits of manifest entries: printable text, and numbers that fit rows,
records and 64 bits."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must contain only printable characters")
    return text


#: Pattern of model names, which become part of every record, of metrics and of log lines.
MODEL_NAME = r"^\w[\w.:+ -]{0,63}$"
ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME), AfterValidator(_printable)]
#: A channel, a target or a family.
Label = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

#: A duration in ms, up to a thousand years.
Span = Annotated[int, Field(gt=0, le=1_000 * 366 * 86_400_000)]
Instant = Annotated[int, Field(ge=-(1 << 53), le=1 << 53)]
Horizon = Annotated[int, Field(gt=0, le=100_000)]
Steps = Annotated[int, Field(ge=0, le=1_000_000)]
#: Maximum of max_gap: the steps of a gap run one after the other,
#: and a turn cannot be split within a record.
LONGEST_GAP: Final = 10_000
Gap = Annotated[int, Field(gt=0, le=LONGEST_GAP)]
#: Aggregates of the readings of a slot; first = the first as it comes.
Aggregate = Literal["first", "last", "mean", "sum", "min", "max"]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Size = Annotated[int, Field(gt=0, le=1 << 24)]

#: Maximum bytes of one stream's state, and of the outputs for one observation.
ROW_LIMIT, OUTPUT_LIMIT = 1 << 20, 1 << 21
