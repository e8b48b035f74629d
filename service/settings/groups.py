"""The groups of settings: names with units, defaults, meanings, and the checks within a group.

A room is handed the groups that it needs, as they are.
`eddycast.service.settings.load` combines the groups and reads them.
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
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from eddycast.service.sealing.manifest_types import LONGEST_GAP, MODEL_NAME
from eddycast.service.sealing.trust import Trust
from eddycast.service.settings.options import listed


def require(condition: bool, message: str) -> None:
    """Raises ValueError(message), which pydantic reports as a validation error,
    unless `condition` holds."""
    if not condition:
        raise ValueError(message)


#: Crash points: after each step of the commit (`checkpoint.py`), after the steps of a switch of
#: models that are not steps of others (`pipeline.py`), and at the critical moments around them.
PLACES = (
    "commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.6", "commit.7",
    "switch.2", "switch.3", "assigned", "restoring", "reading", "revoked", "lost", "rolled_back",
)  # fmt: skip


class Group(BaseModel):
    """Base of the groups. Immutable; an unknown name is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


class BundleSettings(Group):
    """The model to serve."""

    directory: Path = Field(
        Path("bundle"), description="Directory of the bundle, as written by `eddycast train`"
    )
    wait_s: float = Field(
        0.0,
        ge=0,
        description="Wait for a missing bundle, or a first champion, at start, at most this long",
    )
    version: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{6,64}$",
        description="Refuse any other version of the bundle; the first 6 or more digits are enough",
    )
    trusted_keys: str | None = Field(
        None,
        pattern=r"^ *[0-9a-f]{64} *(, *[0-9a-f]{64} *)*$",
        description="Refuse a bundle that is not signed by one of these public keys, separated by "
        "commas; none = no signature needed",
    )
    operators: str | None = Field(
        None,
        pattern=r"^ *[A-Za-z0-9]+ *(, *[A-Za-z0-9]+ *)*$",
        description=(
            "Allow these ONNX operators beside the usual "
            "ones, as If,Loop: only if you trust the bundle"
        ),
    )

    @property
    def trust(self) -> Trust:
        """Checks that a bundle must pass to be loaded."""
        keys, operators = (listed(setting or "") for setting in (self.trusted_keys, self.operators))
        return Trust(self.version or "", keys, frozenset(operators))


class RegistrySettings(Group):
    """The registry whose champion is served in place of bundle.directory."""

    url: str | None = Field(
        None,
        min_length=1,
        description="Serve the champion of the registry in this folder, a path or file:// and a "
        "path; none = bundle.directory",
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


class OutputSettings(Group):
    """The contents of a forecast's record."""

    quantiles: str | None = Field(
        None,
        description="Write only these of the bundle's quantile levels, as .1,.5,.9; none = all",
    )
    leads: str | None = Field(
        None,
        description="Write only these leads of multi_step, in forecast intervals, as 1,6,24; the "
        "record then lists them in `leads`; none = all",
    )
    digits: str = Field(
        "3",
        pattern="^(all|[0-9]|1[0-2])$",
        description="Digits of forecasts below the leading digit of their interval's width "
        "(3: to a thousandth of it); all = exact",
    )

    @property
    def chosen_quantiles(self) -> tuple[float, ...]:
        """Levels to write, () = all. Raises ValueError for a word that is no number."""
        return tuple(float(word) for word in listed(self.quantiles or ""))

    @property
    def chosen_leads(self) -> tuple[int, ...]:
        """Leads to write, from 1 on, () = all. Raises ValueError for a word that is no integer."""
        return tuple(int(word) for word in listed(self.leads or ""))

    @property
    def chosen_digits(self) -> int | None:
        """Digits below the leading digit of the width, None = all."""
        return None if self.digits == "all" else int(self.digits)

    @model_validator(mode="after")
    def _lists_of_numbers(self) -> Self:
        for name, example in (("quantiles", ".1,.5,.9"), ("leads", "1,6,24")):
            try:
                chosen: tuple[float, ...] = getattr(self, f"chosen_{name}")
            except ValueError:
                chosen = (float("nan"),)
            require(
                all(isfinite(number) and number > 0 for number in chosen)
                and list(chosen) == sorted(set(chosen)),
                f"output.{name} must be rising numbers above 0, separated by commas, as {example}",
            )
        return self


class TimeSettings(Group):
    """Limits on timestamps."""

    state_ttl_s: PositiveInt = Field(
        604_800, description="Forget a stream that is idle for this long, in stream time"
    )
    max_gap: PositiveInt | None = Field(
        None,
        le=LONGEST_GAP,
        description=(
            "Maximum number of missing steps bridged in one "
            "gap, up to 10000; none = the bundle's limit"
        ),
    )
    far_future_s: PositiveInt = Field(
        3_600, description="Reject a stamp that is this far ahead of its record's broker time"
    )
    earliest: datetime = Field(
        datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC),
        description=(
            "Reject a numeric stamp that is earlier as milliseconds "
            "since the epoch: it is probably in seconds"
        ),
    )
    late_to_dead_letters: bool = Field(
        False, description="Write late readings to the dead letters; false = only count them"
    )

    @property
    def state_ttl_ms(self) -> int:
        return int(self.state_ttl_s * 1000)

    @property
    def far_future_ms(self) -> int:
        return int(self.far_future_s * 1000)

    @property
    def earliest_ms(self) -> int:
        """`earliest` in ms since the epoch, at least 0; a time without a zone is read as UTC."""
        zoned = self.earliest if self.earliest.tzinfo else self.earliest.replace(tzinfo=UTC)
        return max(0, int(zoned.timestamp() * 1000))


class StateSettings(Group):
    """State rows in memory."""

    max_streams: PositiveInt | None = Field(
        None,
        description=(
            "Maximum number of streams in one process; none = as many as its memory limit allows"
        ),
    )


class EngineSettings(Group):
    """Execution of the graphs."""

    forecast_every: PositiveInt = Field(
        1, description="Make a multi-step forecast for every n-th observation of a stream"
    )
    max_batch: PositiveInt = Field(512, description="Maximum number of rows in one graph call")
    intra_op_threads: PositiveInt = Field(1, description="Number of threads inside one graph call")


class CommitSettings(Group):
    """Transactions and commits."""

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once",
        description="Guarantee for forecasts after a crash: at_least_once may repeat some, and "
        "shows them sooner; state is exactly-once in both",
    )
    interval_ms: PositiveInt = Field(
        100, description="Interval between commits of outputs, rows and offsets"
    )
    max_steps: PositiveInt = Field(
        200_000, description="Approximate maximum number of graph steps in one transaction"
    )
    timeout_ms: PositiveInt | None = Field(
        None, description="Time-out of a commit; none = two thirds of kafka.transaction_timeout_ms"
    )
    handover_ms: PositiveInt | None = Field(
        None,
        description=(
            "Time-out of the commit when partitions are "
            "revoked; none = half of kafka.session_timeout_ms"
        ),
    )
    give_up_s: PositiveFloat = Field(
        120.0, description="End the process once the same records have failed for this long"
    )
    transactional_prefix: str = Field(
        "eddycast", min_length=1, description="Prefix of transactional ids"
    )

    @property
    def interval_s(self) -> float:
        return self.interval_ms / 1000


class FaultSettings(Group):
    """Faults for crash tests; do not set them in production."""

    kill_at: str | None = Field(
        None,
        min_length=1,
        description="Testing only: send SIGKILL to this process at the named crash point",
    )
    kill_after: PositiveInt = Field(
        1, description="Testing only: act when the crash point is reached for the n-th time"
    )
    pause_s: float = Field(
        0.0, ge=0, description="Testing only: pause this long instead of SIGKILL; 0 = SIGKILL"
    )
    freeze: bool = Field(False, description="Testing only: send SIGSTOP instead of SIGKILL")


class HttpSettings(Group):
    """HTTP port for metrics, liveness and readiness."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 = all addresses"
    )
    port: int = Field(
        9464, ge=0, le=65_535, description="Port to listen on; 0 = any free port, which is logged"
    )


class LogSettings(Group):
    """Format and level of the log."""

    format: Literal["auto", "json", "console"] = Field(
        "auto", description="Format of log lines; auto = console on a terminal, else JSON"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged"
    )
