"""What can be set, group by group: names with their units, defaults, meanings, and what must agree within a group.

Nothing is read here; `service.settings.load` puts the groups together and reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from service.sealing.bundle_limits import LONGEST_GAP
from service.sealing.trust import Trust


def require(condition: bool, message: str) -> None:
    """Raises ValueError(message), which pydantic turns into a complaint, unless `condition`."""
    if not condition:
        raise ValueError(message)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


#: Crash points: after each step of the commit (`checkpoint.py`), and at the moments around it that matter.
PLACES = (
    "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6", "commit.7",
    "assigned", "restoring", "reading", "revoked", "lost", "rolled_back",
)  # fmt: skip

#: The broker waits this long for new records before it answers a fetch with none.
FETCH_WAIT_MS = 500
#: Codes for a missing value: one tuple per channel.
_Codes = tuple[tuple[float, ...], ...]
#: What to do when retention has deleted records that were not read yet.
WhenDeleted = Literal["fail", "earliest", "latest"]


class Group(BaseModel):
    """Settings that belong together. Immutable; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class BundleSettings(Group):
    """The model to serve."""

    directory: Path = Field(Path("bundle"), description="The bundle that `eddycast train` wrote")
    wait_s: float = Field(0.0, ge=0, description="How long to wait at start for a bundle that is not there yet")
    version: str | None = Field(
        None, pattern=r"^[0-9a-f]{6,64}$", description="Serve this version alone, by its first 6 or more digits"
    )
    trusted_keys: str | None = Field(
        None,
        pattern=r"^ *[0-9a-f]{64} *(, *[0-9a-f]{64} *)*$",
        description="Public keys, one of which must have signed the bundle, comma between; none = nobody has to",
    )
    operators: str | None = Field(
        None,
        pattern=r"^ *[A-Za-z0-9]+ *(, *[A-Za-z0-9]+ *)*$",
        description="ONNX operators that graphs may use beside the usual ones, as If,Loop: only what you trust",
    )

    @property
    def trust(self) -> Trust:
        """The bundles that may be loaded."""
        keys, operators = (_listed(setting) for setting in (self.trusted_keys, self.operators))
        return Trust(self.version or "", keys, frozenset(operators))


class KafkaClientSettings(Group):
    """The broker, and membership of a consumer group; how it is secured stands in `service.settings.security`."""

    bootstrap_servers: str = Field("localhost:9092", min_length=1, description="Brokers as HOST:PORT, comma between")
    group: str = Field("eddycast", min_length=1, description="Consumer group; services of one group share the input")
    instance_id: str | None = Field(None, min_length=1, description="Name of a static member; none = dynamic member")
    leave: bool = Field(
        False, description="A static member that stops leaves the group at once; false = its partitions wait for it"
    )
    start_at: Literal["earliest", "latest"] = Field("earliest", description="Where a group without offsets begins")
    when_deleted: WhenDeleted = Field(
        "fail", description="Retention deleted records unread: fail = stop and say so, else where to go on"
    )
    session_timeout_ms: PositiveInt = Field(10_000, description="Silence after which the group gives us up")
    heartbeat_interval_ms: PositiveInt = Field(1_000, description="At most a third of the session")
    max_poll_interval_ms: PositiveInt = Field(60_000, description="Longest turn before the group gives us up")
    max_poll_records: PositiveInt = Field(5_000, description="Records taken in one turn, at most")
    request_timeout_ms: int = Field(10_000, gt=FETCH_WAIT_MS, description="Wait for the answer to one request")
    delivery_timeout_ms: PositiveInt = Field(12_000, description="Wait for the acknowledgement of one record")
    transaction_timeout_ms: PositiveInt = Field(15_000, description="The broker aborts a transaction after this")
    linger_ms: NonNegativeInt = Field(5, description="Wait for a fuller batch before it is sent")
    batch_bytes: PositiveInt = Field(524_288, description="Size of a batch a partition, at most")
    max_request_bytes: PositiveInt = Field(1_048_576, description="Size of one record or request, at most")
    unpacked_bytes: PositiveInt = Field(
        33_554_432,
        description="What a compressed batch may unpack to, as much as a fetch; a larger one is a dead letter",
    )
    bulk: bool = Field(
        True, description="Whole record batches, by the client's inside; false = its public calls, many times slower"
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


class TopicSettings(Group):
    """Where observations come from and forecasts go to."""

    input: str = Field("observations", min_length=1, description="Observations, keyed by stream")
    output: str = Field("forecasts", min_length=1, description="Forecasts; as many partitions as the input")
    dead_letters: str = Field("dead-letters", min_length=1, description="Records that could not be forecast, and why")
    changelog: str | None = Field(None, min_length=1, description="Rows of state; none = the group's name + -changelog")
    create: bool = Field(True, description="Create what the service writes to; false = name it and stop")
    create_input: bool = Field(
        False, description="Create the input as well; false = an input that is missing, or mistyped, is named"
    )
    partitions: PositiveInt = Field(4, description="Of an input topic that is created")
    replication: PositiveInt = Field(1, description="Of topics that are created; 3 in production")

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        require(
            len({self.input, self.output, self.dead_letters}) == 3,
            "topics.input, topics.output and topics.dead_letters must be three topics",
        )
        return self


class InputSettings(Group):
    """Conversion of records to readings."""

    codes: str = Field(
        "bundle",
        description="Treat these numbers as missing values beside the bundle's own codes, as -999,-9999; "
        "none = ignore the bundle's codes",
    )

    def chosen_codes(self, bundle: _Codes, channels: int) -> _Codes:
        """Codes for a missing value by channel, in place of the `bundle`'s. Raises ValueError for a word that is no
        number."""
        words = set(_listed(self.codes))
        further = {float(word) for word in words - {"bundle", "none"}}
        if not all(map(isfinite, further)):
            raise ValueError("a code is a finite number")
        own = ((),) * channels if "none" in words or not bundle else bundle
        return tuple(tuple(sorted(further.union(codes))) for codes in own)

    @model_validator(mode="after")
    def _codes_are_numbers(self) -> Self:
        try:
            self.chosen_codes((), 1)
        except ValueError:
            raise ValueError("input.codes must be numbers, none or bundle, separated by commas") from None
        return self


class TimeSettings(Group):
    """What a reading's stamp may be."""

    state_ttl_s: PositiveInt = Field(604_800, description="Stream time after which an idle stream is forgotten")
    max_gap: PositiveInt | None = Field(
        None, le=LONGEST_GAP, description="Missing steps bridged in one gap, 10000 at most; none = as the bundle says"
    )
    far_future_s: PositiveInt = Field(3_600, description="A stamp this far past its record's broker time is refused")
    earliest: datetime = Field(
        datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
        description="A number as stamp is refused if in milliseconds it is before: it reads as seconds",
    )
    late_to_dead_letters: bool = Field(False, description="Late readings go to the dead letters, not only counted")

    @property
    def earliest_ms(self) -> int:
        """`earliest` in ms since the epoch, at least 0; a time without a zone is UTC."""
        zoned = self.earliest if self.earliest.tzinfo else self.earliest.replace(tzinfo=UTC)
        return max(0, int(zoned.timestamp() * 1000))


class StateSettings(Group):
    """Rows in memory."""

    max_streams: PositiveInt | None = Field(
        None, description="Streams that one process gives a row, at most; none = as many as its memory limit allows"
    )


class EngineSettings(Group):
    """Running the graphs."""

    forecast_every: PositiveInt = Field(1, description="Observations of a stream between two multi-step forecasts")
    max_batch: PositiveInt = Field(512, description="Rows in one call of a graph, at most")
    intra_op_threads: PositiveInt = Field(1, description="Threads inside one call of a graph")


class CommitSettings(Group):
    """When work counts as done."""

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="What a crash may do to forecasts: nothing, or let some repeat; rows never count twice",
    )
    interval_ms: PositiveInt = Field(100, description="From one commit of outputs, rows and offsets to the next one")
    max_steps: PositiveInt = Field(200_000, description="Steps of the graph in one transaction, about at most")
    timeout_ms: PositiveInt | None = Field(
        None, description="Wait for one commit; none = two thirds of kafka.transaction_timeout_ms"
    )
    handover_ms: PositiveInt | None = Field(
        None, description="Wait for the commit when partitions go away; none = half of kafka.session_timeout_ms"
    )
    give_up_s: PositiveFloat = Field(120.0, description="The same records failing for so long end the process")
    transactional_prefix: str = Field("eddycast", min_length=1, description="Transactional ids begin with this")


class FaultSettings(Group):
    """For tests of what a crash does; never set in service."""

    kill_at: str | None = Field(None, min_length=1, description="The process kills itself when it passes this place")
    kill_after: PositiveInt = Field(1, description="How often it passes there before")
    pause_s: float = Field(0.0, ge=0, description="It waits there for so long in place of killing itself; 0 = it dies")
    freeze: bool = Field(False, description="It stops itself there, until SIGCONT, in place of killing itself")


class HttpSettings(Group):
    """Metrics, liveness and readiness."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 = every one")
    port: int = Field(9464, ge=0, le=65_535, description="0 = any free port; the log says which")


class LogSettings(Group):
    """What is said, and how."""

    format: Literal["auto", "json", "console"] = Field("auto", description="auto = console on a terminal, else JSON")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is worth a line")
