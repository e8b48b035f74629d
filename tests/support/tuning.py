"""The settings of a pipeline that tests vary, in one flat object with finer units than the settings
allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eddycast.service.dead_letters.headers import LETTER_BYTES
from eddycast.service.delivery.topic_checks import Topology
from eddycast.service.processing.outputs import OutputLimits
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.kafka import WhenDeleted
from eddycast.service.settings.output import OutputSettings
from eddycast.service.settings.settings import Settings
from tests.support.faulty_broker import FaultyBroker


@dataclass(frozen=True)
class Tuning:
    """None = the default of the setting. By default a poll does not wait, a turn has time for
    everything polled, and each turn ends with a commit."""

    poll_timeout_s: float = 0.0
    commit_interval_s: float = 0.0
    turn_s: float = 300.0
    drain_timeout_s: float = 8.0
    group: str = "eddycast"
    delivery: Literal["exactly_once", "at_least_once"] | None = None
    when_deleted: WhenDeleted | None = None
    max_poll_records: int | None = None
    max_steps: int | None = None
    give_up_s: float | None = None
    state_ttl_ms: int | None = None
    far_future_ms: int | None = None
    late: Literal["drop", "dead_letter", "repair"] | None = None
    repair_steps: int | None = None
    aggregate: str | None = None
    close_after_ms: int | None = None
    hold_ms: int | None = None
    forecast_every: int | None = None
    max_streams: int | None = None
    codes: str | None = None
    input: Mapping[str, Any] | None = None  # settings of the mapping
    output: Mapping[str, Any] | None = None  # settings of the records
    partitions: int | None = None  # None = those of the input now
    max_output_bytes: int = 1_000_000
    max_letter_bytes: int = LETTER_BYTES

    def settings(self, name: str = "0") -> Settings:
        """Settings of the worker `name`. They are not validated:
        some values are smaller than an operator may set."""
        seconds = {
            "state_ttl_s": self.state_ttl_ms,
            "far_future_s": self.far_future_ms,
            "close_after_s": self.close_after_ms,
            "hold_s": self.hold_ms,
        }
        groups: dict[str, dict[str, Any]] = {
            "kafka": {
                "group": self.group,
                "instance_id": name,
                "when_deleted": self.when_deleted,
                "max_poll_records": self.max_poll_records,
                "max_poll_interval_ms": self.turn_s * 10_000,
                "transaction_timeout_ms": 10**9,
            },
            "commit": {
                "transactional_prefix": "tests",
                "interval_ms": self.commit_interval_s * 1000,
                "timeout_ms": 10_000,
                "delivery": self.delivery,
                "max_steps": self.max_steps,
                "give_up_s": self.give_up_s,
            },
            "time": {
                "late": self.late,
                "aggregate": self.aggregate,
                "repair_steps": self.repair_steps,
            }
            | {field: None if ms is None else ms / 1000 for field, ms in seconds.items()},
            "state": {"max_streams": self.max_streams},
            "input": {"codes": self.codes},
            "engine": {"forecast_every": self.forecast_every},
        }
        settings = Settings(
            input=InputSettings(**(self.input or {})), output=OutputSettings(**(self.output or {}))
        )
        changed = {
            group: getattr(settings, group).model_copy(
                update={field: value for field, value in values.items() if value is not None}
            )
            for group, values in groups.items()
        }
        return settings.model_copy(
            update=changed | {"shutdown_timeout_s": self.drain_timeout_s / 0.8}
        )

    def topology(self, broker: FaultyBroker, topic: str) -> Topology:
        """Facts about the topics of the broker, with `topic` as the input."""
        partitions = self.partitions
        if partitions is None:
            with broker.admin() as admin:
                partitions = admin.partitions(topic) or 0
        return Topology(partitions, OutputLimits(self.max_output_bytes, self.max_letter_bytes))
