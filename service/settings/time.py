"""Settings of stamps and of the time that streams are remembered."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field, PositiveInt

from eddycast.service.sealing.manifest_types import LONGEST_GAP
from eddycast.service.settings.group import Group


class TimeSettings(Group):
    """Limits on timestamps."""

    state_ttl_s: PositiveInt = Field(
        604_800, description="Forget a stream that is idle for this long, in stream time"
    )
    max_gap: PositiveInt | None = Field(
        None,
        le=LONGEST_GAP,
        description=(
            "Maximum gap from one reading of a stream to the next, in steps, up to 10000: after a "
            "longer one it begins anew; none = state_ttl_s, or the bundle's limit if it cannot jump"
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
    late_to_dead_letters: bool = Field(
        False, description="Write late readings to the dead letters; false = only count them"
    )

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
