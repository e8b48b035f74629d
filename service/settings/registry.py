"""Settings of the registry of models."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, PositiveFloat, model_validator

from eddycast.service.sealing.manifest_types import MODEL_NAME
from eddycast.service.settings.group import Group, require


class RegistrySettings(Group):
    """The registry whose champion is served in place of bundle.directory."""

    url: str | None = Field(
        None,
        min_length=1,
        description="Serve the champion of the registry in this folder (path or file://) or "
        "bucket (s3://BUCKET/PREFIX); none = bundle.directory",
    )
    endpoint_url: str | None = Field(
        None,
        min_length=1,
        description="URL of the store with the bucket; none = AWS, whose environment and "
        "configuration files have the credentials",
    )
    model: str | None = Field(
        None, pattern=MODEL_NAME, description="Name of the model in the registry"
    )
    directory: Path | None = Field(
        None,
        description="Keep a copy of the champion in this directory of the worker's own, and start "
        "from it while the registry does not answer",
    )
    poll_s: PositiveFloat = Field(
        5.0, description="Look for a newer champion about this often; each time up to a fifth later"
    )

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        require(
            self.url is None or self.model is not None, "registry.url needs registry.model as well"
        )
        return self
