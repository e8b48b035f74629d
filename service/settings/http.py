"""Settings of the HTTP port of the service."""

from __future__ import annotations

from pydantic import Field

from eddycast.service.settings.group import Group


class HttpSettings(Group):
    """HTTP port for metrics, liveness and readiness."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 = all addresses"
    )
    port: int = Field(
        9464, ge=0, le=65_535, description="Port to listen on; 0 = any free port, which is logged"
    )
