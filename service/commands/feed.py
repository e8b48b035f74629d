"""`eddycast feed`: records from elsewhere into the input topic."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eddycast.service.commands.data_options import Data, Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from eddycast.service.commands.simulate import Simulated, simulated
from eddycast.service.errors import MissingExtra, SettingsError
from eddycast.service.history.options import SlotOptions
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.bridges.feed_metrics import FeedMetrics

feed = typer.Typer(
    no_args_is_help=True, help="Bring records from elsewhere to the input topic, by stream."
)
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}
#: Exit code of a stop that did not finish, as of the service.
_CUT_SHORT = 70
Channels = Annotated[
    int | None,
    typer.Option(min=1, help="Number of values in a reading; none = those of input.value."),
]


@feed.command("kafka", **_COMMAND)
def kafka(
    context: typer.Context,
    channels: Channels = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop at the present end of the topic.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """Read feed.topic, maybe of another cluster, and write its readings to topics.input, each
    exactly once. The settings of the group input describe the records of feed.topic.

    Example: eddycast feed kafka --feed.topic raw --input.preset telegraf
    """
    settings = load_settings(context.args)
    name = settings.feed.topic
    if name is None:
        raise SettingsError("no topic is named", "set feed.topic, as a flag or variable")
    cluster = settings.kafka if settings.feed.cluster is None else _cluster(settings.feed.cluster)
    if name == settings.topics.input and cluster == settings.kafka:
        raise SettingsError(
            f"feed.topic and topics.input are both {name}", "set topics.input to another topic"
        )
    # slow to import: after the flags are checked
    from eddycast.service.bridges.kafka_feed import KafkaFeed
    from eddycast.service.bridges.kafka_source import SourceTopic
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.delivery.crash_points import CrashPoint
    from eddycast.service.delivery.schema_registry import SchemaRegistry
    from eddycast.service.processing.decoding import decoder_for

    schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
    decoder = partial(decoder_for, settings, _channels(settings.input, channels), schemas)
    decoder()
    source = SourceTopic(kafka_broker(cluster), name, settings.kafka)
    reached = CrashPoint(settings.faults.kill_at, settings.faults.kill_after)
    with _running(settings) as (stop, metrics):
        broker = kafka_broker(settings.kafka)
        KafkaFeed(source, broker, settings, decoder, reached, metrics).run(stop, once)


@feed.command("mqtt", **_COMMAND)
def mqtt(
    context: typer.Context,
    channels: Channels = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Subscribe to mqtt.topics and write the readings of their messages to topics.input, each at
    least once. The settings of the group input describe the messages; their key is the topic, whose
    levels are places for input.stream as well.

    Example: eddycast feed mqtt --mqtt.host HOST --mqtt.topics plant/# --input.format text
    """
    settings = load_settings(context.args)
    if not settings.mqtt.filters:
        raise SettingsError("no MQTT topic is named", "set mqtt.topics, as plant/+/temperature")
    with _explained("mqtt", "paho"):
        from eddycast.service.bridges.messages import MessageMapper
        from eddycast.service.bridges.mqtt_feed import MqttFeed
        from eddycast.service.bridges.mqtt_session import MqttSession
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.delivery.crash_points import CrashPoint

    mapper = MessageMapper(settings, _channels(settings.input, channels))
    session = MqttSession(settings.mqtt, settings.feed.max_bytes)
    at = CrashPoint(settings.faults.kill_at, settings.faults.kill_after)
    with _running(settings) as (stop, metrics):
        MqttFeed(session, kafka_broker(settings.kafka), settings, mapper, at, metrics).run(stop)


@feed.command("http", **_COMMAND)
def http(
    context: typer.Context,
    channels: Channels = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Take readings by POST and write them to topics.input, each at least once: JSON at /records
    or /records/KEY, as the settings of the group input describe it, and InfluxDB's line protocol
    at /write and /api/v2/write. The answer comes once Kafka has acknowledged.

    Example: eddycast feed http --feed.port 9466 --feed.token_file /run/secrets/token
    """
    settings = load_settings(context.args)
    with _explained("http", "starlette", "uvicorn"):
        from eddycast.service.bridges.http_feed import HttpFeed
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.delivery.crash_points import CrashPoint

    at = CrashPoint(settings.faults.kill_at, settings.faults.kill_after)
    broker, width = kafka_broker(settings.kafka), _channels(settings.input, channels)
    with _running(settings) as (stop, metrics):
        HttpFeed(broker, settings, width, at, metrics).run(stop)


@feed.command("stdin", **_COMMAND)
def stdin(
    context: typer.Context,
    channels: Channels = None,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Write the readings of the lines of standard input to topics.input, each at least once. A
    line is a record as the settings of the group input describe it, with its key before a tab or
    as kcat -J writes it.

    Example: eddycast feed stdin --input.preset telegraf
    """
    settings = load_settings(context.args)
    from eddycast.service.bridges.line_feed import LineFeed, Lines
    from eddycast.service.bridges.messages import MessageMapper
    from eddycast.service.delivery.connect import kafka_broker
    from eddycast.service.delivery.crash_points import CrashPoint

    mapper = MessageMapper(settings, _channels(settings.input, channels))
    at = CrashPoint(settings.faults.kill_at, settings.faults.kill_after)
    with _running(settings) as (stop, metrics):
        lines = Lines(sys.stdin.fileno())
        LineFeed(lines, kafka_broker(settings.kafka), settings, mapper, at, metrics).run(stop)


@feed.command("file")
@expand_options
def file(
    data: Data,
    reading: Reading,
    slots: Annotated[SlotOptions, "Slots"],
    topic: Annotated[
        str | None, typer.Option(help="Topic to write to.", show_default="topics.input")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Override kafka.bootstrap_servers.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Read settings from this TOML file.")] = None,
) -> None:
    """Write files of history to topics.input as fast as possible: `eddycast simulate` at speed 0.

    Example: eddycast feed file 'export/*.csv' --kafka HOST:9092
    """
    simulated(data, reading, slots, Simulated(topic, 0.0, kafka, config))


@contextmanager
def _explained(name: str, *packages: str) -> Iterator[None]:
    """Turn the error of a missing package into MissingExtra, which names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise MissingExtra(
            f"`eddycast feed {name}` needs {error.name}", f"pip install 'eddycast[{name}]'"
        ) from error


def _cluster(file: os.PathLike[str]) -> Any:
    """The group kafka of a file of settings. Raises SettingsError."""
    return load_settings(["--config", os.fspath(file)], environment={}).kafka


def _channels(mapping: InputSettings, channels: int | None) -> int:
    return mapping.width if mapping.fields is not None else channels or mapping.width


@contextmanager
def _running(settings: Settings) -> Iterator[tuple[Event, FeedMetrics]]:
    """Context with the log configured: the event that a signal sets, and metrics."""
    from eddycast.service.bridges.feed_metrics import served_metrics
    from eddycast.service.delivery.connect import warn_of_risks
    from eddycast.service.observability.log import configure_log, log_everything
    from eddycast.service.signals import StopSignals

    configure_log(settings.log.format, settings.log.level)
    log_everything()
    warn_of_risks(settings.kafka)
    with (
        StopSignals(_cut_short, settings.shutdown_timeout_s) as signals,
        served_metrics(settings) as metrics,
    ):
        yield signals.stop, metrics


def _cut_short(why: str) -> None:
    """End the process now: what was not acknowledged is read or sent again."""
    print(f"eddycast: cut short: {why}", file=sys.stderr)  # noqa: T201
    os._exit(_CUT_SHORT)
