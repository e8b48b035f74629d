"""Settings of `eddycast feed`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from eddycast.service.settings.group import Group, require


class FeedSettings(Group):
    """Bridges that write to the input topic: `eddycast feed`."""

    topic: str | None = Field(None, min_length=1, description="Topic that `feed kafka` reads")
    cluster: Path | None = Field(
        None,
        description="TOML file whose group kafka describes the cluster of feed.topic; none = the "
        "cluster of topics.input",
    )
    positions: str | None = Field(
        None,
        min_length=1,
        description="Compacted topic with the offsets that `feed kafka` has reached, in the "
        "cluster of topics.input; none = GROUP-feed-positions",
    )
    partitioner: Literal["crc32", "murmur2"] = Field(
        "crc32",
        description="Hash of a stream's name that chooses its partition, also for "
        "`eddycast simulate`: crc32 as librdkafka, murmur2 as Java's producers",
    )
    max_bytes: PositiveInt = Field(
        67_108_864,
        description="Maximum size of messages or requests that wait for the brokers, bytes; the "
        "sender waits then",
    )
    rates_s: PositiveFloat = Field(10.0, description="Interval of the log's line of rates")
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Port of a bridge's own metrics, on http.host; 0 = any free port, which is "
        "logged, none = they are not served",
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address on which `feed http` listens; 0.0.0.0 = all addresses",
    )
    port: int = Field(
        9466, ge=0, le=65_535, description="Port of `feed http`; 0 = any free port, which is logged"
    )
    token: SecretStr | None = Field(
        None, min_length=8, description="Bearer token that `feed http` asks for; never logged"
    )
    token_file: Path | None = Field(None, description="File with feed.token")
    ssl_certfile: Path | None = Field(
        None, description="Serve HTTPS with this certificate and its chain, PEM; none = HTTP"
    )
    ssl_keyfile: Path | None = Field(
        None, description="Private key of the certificate, PEM; none = in ssl_certfile"
    )

    @model_validator(mode="after")
    def _secrets_agree(self) -> Self:
        require(
            self.token is None or self.token_file is None,
            "feed.token and feed.token_file: set one of them",
        )
        require(
            self.ssl_keyfile is None or self.ssl_certfile is not None,
            "feed.ssl_keyfile needs feed.ssl_certfile",
        )
        return self
