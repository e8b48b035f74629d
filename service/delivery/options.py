"""What a pipeline needs of the settings, in its units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from service.formats.json_encoder import LETTER_BYTES
from service.formats.json_observation import EARLIEST
from service.processing.processor import ProcessorOptions
from service.settings.groups import InputSettings
from service.settings.kafka import WhenDeleted


@dataclass(frozen=True, slots=True)
class Options:
    """Defaults are those of the settings; times in seconds where the name does not say otherwise."""

    input_topic: str = "observations"
    output_topic: str = "forecasts"
    dead_letter_topic: str = "dead-letters"
    changelog_topic: str = "eddycast-changelog"
    partitions: int | None = None  # of the input, as of the start; None = not checked
    group: str = "eddycast"
    transactional_id: str = "eddycast-eddycast-0"
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    start_at: str = "earliest"
    when_deleted: WhenDeleted = "fail"
    max_poll_records: int = 5_000
    poll_timeout_s: float = 0.5
    commit_interval_s: float = 0.1
    commit_timeout_s: float = 10.0
    handover_timeout_s: float = 5.0
    drain_timeout_s: float = 8.0
    give_up_s: float = 120.0
    max_steps: int = 200_000
    turn_s: float = 1.5
    session_s: float = 10.0
    max_output_bytes: int = 1_000_000
    max_letter_bytes: int = LETTER_BYTES
    far_future_ms: int = 3_600_000
    earliest_ms: int = EARLIEST
    state_ttl_ms: int = 604_800_000
    max_gap: int | None = None  # None = the bundle's
    forecast_every: int = 1
    late_to_dead_letters: bool = False
    max_streams: int | None = None  # None = as many as there is memory for
    input: InputSettings = field(default_factory=InputSettings)

    @property
    def work(self) -> ProcessorOptions:
        """What the middle of the path needs."""
        return ProcessorOptions(
            self.output_topic,
            self.dead_letter_topic,
            self.max_gap,
            self.forecast_every,
            self.far_future_ms,
            self.earliest_ms,
            self.late_to_dead_letters,
            self.max_output_bytes,
            self.max_streams,
            self.max_letter_bytes,
            self.input,
        )
