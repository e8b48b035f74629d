"""Settings of `eddycast monitor`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import Group, require
from eddycast.service.settings.host_port import HostPort


class MonitorSettings(Group):
    """The page and API of `eddycast monitor`."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 = all addresses"
    )
    port: int = Field(
        9465, ge=0, le=65_535, description="Port to listen on; 0 = any free port, which is logged"
    )
    history: int = Field(
        200, ge=8, le=100_000, description="Readings of each stream to keep, with their forecasts"
    )
    max_streams: int = Field(
        100_000, ge=1, le=10_000_000, description="Maximum number of streams that are kept"
    )
    read_back: int = Field(
        1_000_000, ge=0, description="Offsets of each partition to read back at start"
    )
    season_s: PositiveFloat | None = Field(
        None,
        description="Season of the seasonal naive forecast; none = that of the bundle, if any",
    )
    silent_after: float = Field(
        3.0, ge=1, description="Call a stream silent after this many of its usual gaps"
    )
    forget_after_s: PositiveInt = Field(
        604_800, description="Forget a stream that has had no record for this long"
    )
    alarms_per_week: PositiveFloat = Field(
        1.0, description="False alarms a week that are accepted of each stream"
    )
    events: str | None = Field(
        None,
        min_length=1,
        description="Topic to write to when a stream falls silent, is back, or has an anomaly; "
        "none = they are only shown",
    )
    services: str | None = Field(
        None,
        description="Metrics ports of the workers as HOST:PORT, separated by commas; every "
        "address of a name is a worker; none = not shown",
    )
    token: SecretStr | None = Field(
        None, min_length=8, description="Bearer token that the API asks for; never logged"
    )
    token_file: Path | None = Field(None, description="File with token")
    ssl_certfile: Path | None = Field(
        None, description="Serve HTTPS with this certificate and its chain, PEM; none = HTTP"
    )
    ssl_keyfile: Path | None = Field(
        None, description="Private key of the certificate, PEM; none = in ssl_certfile"
    )

    @property
    def season_ms(self) -> int | None:
        return None if self.season_s is None else int(self.season_s * 1000)

    @property
    def service_ports(self) -> tuple[HostPort, ...]:
        """The metrics ports of the workers. Raises ValueError for one that is no HOST:PORT."""
        return tuple(map(HostPort.parse, listed(self.services or "")))

    @model_validator(mode="after")
    def _services_are_ports(self) -> Self:
        try:
            found = bool(self.service_ports)
        except ValueError:
            found = False
        require(
            found or self.services is None,
            "monitor.services must be HOST:PORT, separated by commas, as worker-1:9464,"
            "worker-2:9464",
        )
        return self

    @model_validator(mode="after")
    def _secrets_agree(self) -> Self:
        require(
            self.token is None or self.token_file is None,
            "monitor.token and monitor.token_file: set one of them",
        )
        require(
            self.ssl_keyfile is None or self.ssl_certfile is not None,
            "monitor.ssl_keyfile needs monitor.ssl_certfile",
        )
        return self
