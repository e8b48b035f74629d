"""Settings of the rows in memory."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from eddycast.service.settings.group import Group


class StateSettings(Group):
    """State rows in memory."""

    max_streams: PositiveInt | None = Field(
        None,
        description=(
            "Maximum number of streams in one process; none = as many as its memory limit allows"
        ),
    )
