"""Settings of the crash points, for tests of what is durable."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from eddycast.service.settings.group import Group

#: Crash points: after each step of the commit (`checkpoint.py`), after the steps of a switch of
#: models that are not steps of others (`pipeline.py`), and at the critical moments around them.
PLACES = (
    "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6", "commit.7",
    "switch.2", "switch.3", "assigned", "restoring", "reading", "revoked", "lost", "rolled_back",
)  # fmt: skip
#: Crash points of `eddycast feed`: records are produced, and not durable yet; they are durable, and
#: their source does not know it yet.
FEED_PLACES = ("feed.1", "feed.2")


class FaultSettings(Group):
    """Faults for crash tests; do not set them in production."""

    kill_at: str | None = Field(
        None,
        min_length=1,
        description="Testing only: send SIGKILL to this process at the named crash point",
    )
    kill_after: PositiveInt = Field(
        1, description="Testing only: act when the crash point is reached for the n-th time"
    )
    pause_s: float = Field(
        0.0, ge=0, description="Testing only: pause this long instead of SIGKILL; 0 = SIGKILL"
    )
    freeze: bool = Field(False, description="Testing only: send SIGSTOP instead of SIGKILL")
