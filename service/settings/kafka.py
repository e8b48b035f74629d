"""The kafka group of settings: the connection to the broker and membership of the consumer
group."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from eddycast.service.settings.group import Group, require
from eddycast.service.settings.security import SecuritySettings

#: The broker waits this long for new records before it answers a fetch with none.
FETCH_WAIT_MS = 500
#: Reaction to records that retention deleted before they were read.
WhenDeleted = Literal["fail", "earliest", "latest"]


class KafkaClientSettings(Group):
    """Connection to the broker and membership of the consumer group, without security."""

    bootstrap_servers: str = Field(
        "localhost:9092", min_length=1, description="Brokers as HOST:PORT, separated by commas"
    )
    group: str = Field(
        "eddycast",
        min_length=1,
        description="Consumer group; services in the same group share the input",
    )
    instance_id: str | None = Field(
        None,
        min_length=1,
        description="Join as the static member of this name; none = as a dynamic member",
    )
    leave: bool = Field(
        False,
        description=(
            "Leave the group when a static member stops; "
            "false = its partitions wait for it to return"
        ),
    )
    start_at: Literal["earliest", "latest"] = Field(
        "earliest", description="Start position of a group without committed offsets"
    )
    when_deleted: WhenDeleted = Field(
        "fail",
        description="Reaction to records that retention deleted unread: fail = stop with an error, "
        "earliest or latest = continue there",
    )
    session_timeout_ms: PositiveInt = Field(
        10_000, description="Remove a silent member from the group after this time"
    )
    heartbeat_interval_ms: PositiveInt = Field(
        1_000, description="Interval of heartbeats; at most a third of session_timeout_ms"
    )
    max_poll_interval_ms: PositiveInt = Field(
        60_000, description="Remove a member that has not polled for this long"
    )
    max_poll_records: PositiveInt = Field(5_000, description="Maximum number of records per poll")
    request_timeout_ms: int = Field(10_000, gt=FETCH_WAIT_MS, description="Time-out of one request")
    delivery_timeout_ms: PositiveInt = Field(
        12_000, description="Time-out for the acknowledgement of a record"
    )
    transaction_timeout_ms: PositiveInt = Field(
        15_000, description="Let the broker abort a transaction after this time"
    )
    linger_ms: NonNegativeInt = Field(
        5, description="Wait this long for a fuller batch before sending"
    )
    batch_bytes: PositiveInt = Field(
        524_288, description="Maximum size of a batch of one partition"
    )
    max_request_bytes: PositiveInt = Field(
        1_048_576, description="Maximum size of one record or request"
    )
    unpacked_bytes: PositiveInt = Field(
        33_554_432,
        description=(
            "Maximum size of a batch after decompression; a larger one becomes a dead letter"
        ),
    )
    bulk: bool = Field(
        True,
        description="Use kafka-python internals to send and receive whole batches (fast); "
        "false = use its public API (many times slower)",
    )

    @model_validator(mode="after")
    def _timeouts_agree(self) -> Self:
        require(
            self.heartbeat_interval_ms * 3 <= self.session_timeout_ms,
            "kafka.heartbeat_interval_ms must be at most a third of kafka.session_timeout_ms",
        )
        require(
            self.request_timeout_ms + self.linger_ms <= self.delivery_timeout_ms,
            "kafka.delivery_timeout_ms must be at least kafka.request_timeout_ms + kafka.linger_ms",
        )
        require(
            self.delivery_timeout_ms < self.transaction_timeout_ms,
            "kafka.delivery_timeout_ms must be shorter than kafka.transaction_timeout_ms",
        )
        return self


class KafkaSettings(SecuritySettings, KafkaClientSettings):
    """Connection to the broker, membership of the consumer group, security."""
