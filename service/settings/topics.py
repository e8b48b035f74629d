"""Settings of the topics."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from eddycast.service.settings.group import Group, require


class TopicSettings(Group):
    """Topics for observations, forecasts, dead letters and state."""

    input: str = Field(
        "observations", min_length=1, description="Topic of observations, keyed by stream"
    )
    output: str = Field(
        "forecasts",
        min_length=1,
        description="Topic of forecasts; needs as many partitions as the input",
    )
    dead_letters: str = Field(
        "dead-letters", min_length=1, description="Topic of rejected records, with reasons"
    )
    changelog: str | None = Field(
        None, min_length=1, description="Topic of state rows; none = GROUP-changelog"
    )
    create: bool = Field(
        True,
        description="Create missing topics that the service writes to; false = stop with an error",
    )
    create_input: bool = Field(
        False,
        description=(
            "Create a missing input topic too; false = stop with an error, as for a mistyped name"
        ),
    )
    partitions: PositiveInt = Field(
        4, description="Number of partitions of an input topic that is created"
    )
    replication: PositiveInt = Field(
        1, description="Replication factor of topics that are created; use 3 in production"
    )

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        require(
            len({self.input, self.output, self.dead_letters}) == 3,
            "topics.input, topics.output and topics.dead_letters must be three different topics",
        )
        return self
