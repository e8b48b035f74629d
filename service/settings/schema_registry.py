"""Settings of the schema registry."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from eddycast.service.settings.group import Group, require


class SchemaRegistrySettings(Group):
    """The schema registry of Avro records, by the protocol of Confluent's."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^/@?#]+[^@?#]*$",
        description="URL of the registry of Avro schemas, as http://HOST:8081; of Apicurio as "
        "http://HOST:8080/apis/ccompat/v7",
    )
    username: str | None = Field(None, min_length=1, description="User name; none = no login")
    password: SecretStr | None = Field(
        None, min_length=1, description="Password of the user; never logged"
    )
    password_file: Path | None = Field(None, description="File with password")

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        given = (self.password is not None) + (self.password_file is not None)
        require(
            given < 2, "schema_registry.password and schema_registry.password_file: set one of them"
        )
        require(
            (self.username is None) == (given == 0),
            "schema_registry.username and its password or password_file: set both or neither",
        )
        return self
