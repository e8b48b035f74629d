"""All settings in one frozen object; `eddycast.service.settings.load` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

from pydantic import Field, PositiveFloat, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from eddycast.service.settings.archive import ArchiveSettings
from eddycast.service.settings.bundle import BundleSettings
from eddycast.service.settings.commit import CommitSettings
from eddycast.service.settings.engine import EngineSettings
from eddycast.service.settings.faults import FEED_PLACES, PLACES, FaultSettings
from eddycast.service.settings.feed import FeedSettings
from eddycast.service.settings.group import Group, require
from eddycast.service.settings.http import HttpSettings
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.settings.log import LogSettings
from eddycast.service.settings.monitor import MonitorSettings
from eddycast.service.settings.mqtt import MqttSettings
from eddycast.service.settings.output import OutputSettings
from eddycast.service.settings.registry import RegistrySettings
from eddycast.service.settings.schema_registry import SchemaRegistrySettings
from eddycast.service.settings.state import StateSettings
from eddycast.service.settings.time import TimeSettings
from eddycast.service.settings.topics import TopicSettings

PREFIX = "EDDYCAST_"
#: Fraction of shutdown_timeout_s reserved for leaving the group and closing.
_CLOSING = 0.2


class Waits(NamedTuple):
    """Time-outs as set, or derived from Kafka's time-outs."""

    commit_s: float  # of any commit
    handover_s: float  # of the commit when partitions are revoked
    drain_s: float  # of the last commit, before the group is left
    turn_s: float  # approximate maximum from one poll to the next; records left over are read again
    transactions_s: float  # until every transaction that is open now has ended


class Settings(BaseSettings):
    """All settings. Immutable. `Settings(...)` reads neither files nor the environment:
    see `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    bundle: BundleSettings = BundleSettings()
    registry: RegistrySettings = RegistrySettings()
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    time: TimeSettings = TimeSettings()
    state: StateSettings = StateSettings()
    engine: EngineSettings = EngineSettings()
    commit: CommitSettings = CommitSettings()
    faults: FaultSettings = FaultSettings()
    http: HttpSettings = HttpSettings()
    monitor: MonitorSettings = MonitorSettings()
    archive: ArchiveSettings = ArchiveSettings()
    feed: FeedSettings = FeedSettings()
    mqtt: MqttSettings = MqttSettings()
    log: LogSettings = LogSettings()
    shutdown_timeout_s: PositiveFloat = Field(
        10.0, description="Time-out for a clean stop after the first signal"
    )

    @property
    def changelog(self) -> str:
        """Name of the changelog topic."""
        return self.topics.changelog or f"{self.kafka.group}-changelog"

    @property
    def positions(self) -> str:
        """Name of the topic with the offsets that `feed kafka` has reached."""
        return self.feed.positions or f"{self.kafka.group}-feed-positions"

    @property
    def waits(self) -> Waits:
        """Time-outs of commits and turns."""
        commit, kafka = self.commit, self.kafka
        return Waits(
            (commit.timeout_ms or kafka.transaction_timeout_ms * 2 // 3) / 1000,
            (commit.handover_ms or kafka.session_timeout_ms // 2) / 1000,
            self.shutdown_timeout_s * (1 - _CLOSING),
            min(kafka.max_poll_interval_ms, kafka.transaction_timeout_ms) / 10_000,
            kafka.transaction_timeout_ms * 2 / 1000,
        )

    @model_validator(mode="after")
    def _times_agree(self) -> Self:
        kafka, commit, waits = self.kafka, self.commit, self.waits
        interval_ms, timeout_ms = commit.interval_ms, round(waits.commit_s * 1000)
        handover_ms = round(waits.handover_s * 1000)
        for name, time_ms, limit in (
            ("interval_ms", interval_ms, "transaction_timeout_ms"),
            ("timeout_ms", timeout_ms, "transaction_timeout_ms"),
            ("timeout_ms", timeout_ms, "max_poll_interval_ms"),
            ("handover_ms", handover_ms, "session_timeout_ms"),
        ):
            is_shorter = time_ms < getattr(kafka, limit)
            require(is_shorter, f"commit.{name} must be shorter than kafka.{limit}")
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = self.topics
        taken: set[str | None] = {topics.input, topics.output, topics.dead_letters}
        for name, topic in (
            ("topics.changelog", self.changelog),
            ("monitor.events", self.monitor.events),
        ):
            require(topic not in taken, f"{name} must be a topic of its own")
            taken.add(topic)
        return self

    @model_validator(mode="after")
    def _groups_agree(self) -> Self:
        require(
            self.registry.url is None or self.bundle.version is None,
            "bundle.version pins a bundle and registry.url follows a registry: set one of them",
        )
        for group in ("output", "input"):
            require(
                getattr(self, group).format != "avro" or self.schema_registry.url is not None,
                f"{group}.format avro needs schema_registry.url as well",
            )
        require(
            not (self.time.is_gathered and self.output.chosen_headers),
            "output.headers belong to one record, and with time.aggregate a forecast follows from "
            "several: set one of them",
        )
        places = (*PLACES, *FEED_PLACES)
        require(
            self.faults.kill_at is None or self.faults.kill_at in places,
            f"faults.kill_at must be one of {', '.join(places)}",
        )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Setting(NamedTuple):
    """A setting with its dotted name, which is the flag without its dashes."""

    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper().replace(".", "__")

    @property
    def default(self) -> str:
        value = self.field.default
        return (
            "none"
            if value is None
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )


def every_setting() -> Iterator[Setting]:
    """All settings, group by group."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            for inner, inner_field in field.annotation.model_fields.items():
                yield Setting(f"{name}.{inner}", inner_field)
        else:
            yield Setting(name, field)
