"""Base of the groups of settings, which stand in a file each: names with units, defaults, meanings,
and the checks within a group.

A room is handed the groups that it needs, as they are. `settings.py` combines them, `load.py` reads
them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def require(condition: bool, message: str) -> None:
    """Raises ValueError(message), which pydantic reports as a validation error,
    unless `condition` holds."""
    if not condition:
        raise ValueError(message)


class Group(BaseModel):
    """Base of the groups. Immutable; an unknown name is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )
