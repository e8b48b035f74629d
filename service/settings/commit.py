"""Settings of commits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from eddycast.service.settings.group import Group


class CommitSettings(Group):
    """Transactions and commits."""

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="Guarantee for forecasts after a crash: at_least_once may repeat some, and "
        "shows them sooner; state is exactly-once in both",
    )
    interval_ms: PositiveInt = Field(
        100, description="Interval between commits of outputs, rows and offsets"
    )
    max_steps: PositiveInt = Field(
        200_000, description="Approximate maximum number of graph steps in one transaction"
    )
    timeout_ms: PositiveInt | None = Field(
        None, description="Time-out of a commit; none = two thirds of kafka.transaction_timeout_ms"
    )
    handover_ms: PositiveInt | None = Field(
        None,
        description=(
            "Time-out of the commit when partitions are "
            "revoked; none = half of kafka.session_timeout_ms"
        ),
    )
    give_up_s: PositiveFloat = Field(
        120.0, description="End the process once the same records have failed for this long"
    )
    transactional_prefix: str = Field(
        "eddycast", min_length=1, description="Prefix of transactional ids"
    )

    @property
    def interval_s(self) -> float:
        return self.interval_ms / 1000
