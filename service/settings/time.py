"""Settings of stamps and of the time that streams are remembered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from eddycast.service.sealing.manifest_types import LONGEST_GAP, Aggregate
from eddycast.service.settings.group import Group, require


class TimeSettings(Group):
    """Limits on timestamps."""

    state_ttl_s: PositiveInt = Field(
        604_800, description="Forget a stream that is idle for this long, in stream time"
    )
    max_gap: PositiveInt | None = Field(
        None,
        le=LONGEST_GAP,
        description=(
            "Maximum gap between readings of a stream, in steps, up to 10000: after a longer "
            "one it begins anew; none = as state_ttl_s allows"
        ),
    )
    far_future_s: PositiveInt = Field(
        3_600, description="Reject a stamp that is this far ahead of its record's broker time"
    )
    earliest: datetime = Field(
        datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
        description=(
            "Reject a numeric stamp that is earlier as milliseconds "
            "since the epoch: it is probably in seconds"
        ),
    )
    late: Literal["drop", "dead_letter", "repair"] = Field(
        "drop",
        description=(
            "Readings older than the last one of their stream: drop = count them, dead_letter = "
            "also write letters, repair = replace imputations"
        ),
    )
    repair_steps: int = Field(
        0,
        ge=0,
        le=32,
        description="With time.late = repair: a reading may be so many steps behind the last one "
        "of its stream",
    )
    aggregate: Aggregate = Field(
        "first",
        description=(
            "Readings of one step: forecast the first as it comes, or their last, "
            "mean, sum, min or max when the step is over"
        ),
    )
    close_after_s: NonNegativeInt = Field(
        60,
        le=31_536_000,
        description=(
            "With time.aggregate: a step is over at the latest when stream time is "
            "so far beyond its end"
        ),
    )
    hold_s: PositiveInt | None = Field(
        None,
        description=(
            "A reading holds for up to so long where steps before the next one "
            "would be missing; none = not at all"
        ),
    )

    @model_validator(mode="after")
    def _repairs_agree(self) -> Self:
        require(
            (self.late == "repair") == (self.repair_steps > 0),
            "time.late = repair and time.repair_steps belong together",
        )
        require(
            self.late != "repair" or not (self.is_gathered or self.hold_s),
            "time.late = repair is for readings that are forecast as they come: "
            "time.aggregate has time.close_after_s, and with time.hold_s nothing is imputed",
        )
        return self

    @property
    def repair_window(self) -> int:
        """Number of slots that are kept after an anchor (`processing/rewinding.py`), 0 = none."""
        return self.repair_steps + 1 if self.repair_steps else 0

    @property
    def is_gathered(self) -> bool:
        """True if the readings of a step are gathered until it is over."""
        return self.aggregate != "first"

    def held_steps(self, interval_ms: int) -> int:
        """Maximum number of steps for which a reading holds."""
        return int((self.hold_s or 0) * 1000) // interval_ms

    def longest_gap(self, max_gap: int, interval_ms: int) -> int:
        """Maximum number of steps bridged in one gap, held ones included; `max_gap` is the
        bundle's."""
        return (self.max_gap or max_gap) + self.held_steps(interval_ms)

    @property
    def close_after_ms(self) -> int:
        return int(self.close_after_s * 1000)

    @property
    def state_ttl_ms(self) -> int:
        return int(self.state_ttl_s * 1000)

    @property
    def far_future_ms(self) -> int:
        return int(self.far_future_s * 1000)

    @property
    def earliest_ms(self) -> int:
        """`earliest` in ms since the epoch, at least 0; a time without a zone is read as UTC."""
        zoned = self.earliest if self.earliest.tzinfo else self.earliest.replace(tzinfo=UTC)
        return max(0, int(zoned.timestamp() * 1000))
