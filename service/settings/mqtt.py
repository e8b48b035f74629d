"""Settings of `eddycast feed mqtt`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, SecretStr, field_validator, model_validator

from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import Group, require


class MqttSettings(Group):
    """The MQTT broker that `eddycast feed mqtt` reads from."""

    host: str = Field("localhost", min_length=1, description="Address of the MQTT broker")
    port: int = Field(1883, ge=1, le=65_535, description="Port of the MQTT broker; TLS often 8883")
    topics: str | None = Field(
        None, description="Topics to subscribe to, as sensors/+/temperature, plant/#"
    )
    client_id: str = Field(
        "eddycast-feed",
        min_length=1,
        description="Name of the session, which no other client of the broker may use",
    )
    version: Literal["5", "3.1.1"] = Field("5", description="Version of MQTT")
    session_expiry_s: PositiveInt = Field(
        604_800,
        description="Let the broker keep messages this long while no bridge is connected; only in "
        "version 5",
    )
    in_flight: int = Field(
        1_000,
        ge=1,
        le=65_535,
        description="Maximum number of messages without acknowledgement; only in version 5",
    )
    keepalive_s: int = Field(60, ge=5, le=65_535, description="Interval of signs of life")
    username: str | None = Field(None, min_length=1, description="User name")
    password: SecretStr | None = Field(None, min_length=1, description="Password; never logged")
    password_file: Path | None = Field(None, description="File with mqtt.password")
    tls: bool = Field(False, description="Connect by TLS")
    ssl_cafile: Path | None = Field(
        None, description="Trusted certificate authorities, PEM; none = the system's"
    )
    ssl_certfile: Path | None = Field(
        None, description="Client certificate with its chain, PEM; none = no client certificate"
    )
    ssl_keyfile: Path | None = Field(
        None, description="Private key of the certificate, PEM; none = in ssl_certfile"
    )

    @property
    def filters(self) -> tuple[str, ...]:
        """The topics to subscribe to."""
        return listed(self.topics or "")

    @field_validator("topics", mode="before")
    @classmethod
    def _joined(cls, topics: object) -> object:
        """A list of a TOML file as the text of a setting."""
        return ", ".join(map(str, topics)) if isinstance(topics, list) else topics

    @field_validator("topics")
    @classmethod
    def _are_filters(cls, topics: str | None) -> str | None:
        for each in listed(topics or ""):
            levels = each.split("/")
            single = all(level in ("+", "#") or not set("+#") & set(level) for level in levels)
            require(
                single and "#" not in levels[:-1],
                f"{each!r} is no topic: + is a whole level and # the last one, as plant/+/temp or "
                "plant/#",
            )
        return topics

    @model_validator(mode="after")
    def _login_agrees(self) -> Self:
        require(
            self.password is None or self.password_file is None,
            "mqtt.password and mqtt.password_file: set one of them",
        )
        has_password = self.password is not None or self.password_file is not None
        require(not has_password or self.username is not None, "mqtt.password needs mqtt.username")
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            require(
                getattr(self, name) is None or self.tls,
                f"mqtt.{name} has no effect without mqtt.tls",
            )
        require(
            self.ssl_keyfile is None or self.ssl_certfile is not None,
            "mqtt.ssl_keyfile needs mqtt.ssl_certfile",
        )
        return self
