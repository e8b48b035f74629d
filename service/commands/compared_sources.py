"""The forecasts that `eddycast models compare` compares: those of two topics, or of two models that
replay the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from eddycast.service.broker.port import Broker
from eddycast.service.commands.named_model import named_model, served_model, without_pin
from eddycast.service.commands.state_request import broker_of, needs_polars
from eddycast.service.comparison.forecast_columns import ForecastColumns, Numbers
from eddycast.service.comparison.multi_step import MultiStepColumns, Plan
from eddycast.service.comparison.overlap import Span
from eddycast.service.comparison.replayed import replayed, replayed_multi_step
from eddycast.service.comparison.topics import read_topic
from eddycast.service.history import ReadOptions
from eddycast.service.history.merging import Readings, merge
from eddycast.service.model.runtime import Runtime
from eddycast.service.settings.settings import Settings


class Source(Protocol):
    """The forecasts of one model."""

    def one_step(self) -> ForecastColumns:
        """Those that have met their reading."""

    def multi_step(self, plan: Plan) -> MultiStepColumns:
        """The losses of multi-step forecasts."""


@dataclass(frozen=True, slots=True)
class _Topic:
    broker: Broker
    settings: Settings
    name: str
    numbers: Numbers

    def one_step(self) -> ForecastColumns:
        found = ForecastColumns(self.name, self.numbers)
        read_topic(self.broker, self.settings, self.name, found.add)
        return found

    def multi_step(self, plan: Plan) -> MultiStepColumns:
        found = MultiStepColumns(plan, self.numbers)
        read_topic(self.broker, self.settings, self.name, found.add)
        return found


@dataclass(frozen=True, slots=True)
class _Replay:
    runtime: Runtime
    readings: Readings
    numbers: Numbers

    def one_step(self) -> ForecastColumns:
        return replayed(self.runtime, self.readings, self.numbers)

    def multi_step(self, plan: Plan) -> MultiStepColumns:
        return replayed_multi_step(self.runtime, self.readings, self.numbers, plan)


def outputs(settings: Settings, topic: str) -> tuple[Source, Source]:
    """The champion's topic of forecasts, and the challenger's."""
    broker, numbers = broker_of(settings), Numbers()
    champion = _Topic(broker, settings, settings.topics.output, numbers)
    return champion, _Topic(broker, settings, topic, numbers)


def inputs(settings: Settings, name: str, span: Span) -> tuple[Source, Source]:
    """Replays of what the input holds, from a burn-in before the last readings on, by the model
    that is served and by another one. Raises MissingExtra, SettingsError, BundleError,
    BrokerError, DataError."""
    needs_polars("--replay")
    from eddycast.service.archive.reading import read_topic as read_observations

    champion = served_model(settings)
    challenger = named_model(name, without_pin(settings))
    channels = champion.manifest.channels if len(champion.manifest.channels) > 1 else ()
    topic, broker = settings.topics.input, broker_of(settings)
    history = read_observations(broker, settings, topic, channels, ReadOptions())
    if span.last_ms is not None:
        history = history.between(history.end_ms - span.last_ms - span.burn_in_ms)
    readings, numbers = merge(history), Numbers()
    return _Replay(champion, readings, numbers), _Replay(challenger, readings, numbers)
