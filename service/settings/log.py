"""Settings of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eddycast.service.settings.group import Group


class LogSettings(Group):
    """Format and level of the log."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="Format of log lines; auto = console on a terminal, else JSON"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged"
    )
