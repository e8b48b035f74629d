"""`eddycast simulate`: send a file of history to a topic as sensors would."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Annotated

import typer

from eddycast.service.broker.port import Broker
from eddycast.service.commands.data_options import Data, Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.errors import BrokerError, DataError
from eddycast.service.history import History, read_history
from eddycast.service.history.merging import Readings, merge
from eddycast.service.observability.log import configure_log, get_log
from eddycast.service.observability.throttle import Throttle
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings
from eddycast.service.signals import StopSignals
from eddycast.service.simulation import Sensors, paced, shifted_to_end_at

#: Interval of progress lines in the log, s.
PROGRESS_EVERY_S = 5.0


@expand_options
def simulate(
    data: Data,
    reading: Reading,
    topic: Annotated[
        str | None, typer.Option(help="Topic to write to.", show_default="topics.input")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(min=0, help="Speed as a multiple of real time; 0 = as fast as possible."),
    ] = 60.0,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Override kafka.bootstrap_servers.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Read settings from this TOML file.")] = None,
    since: Annotated[
        datetime | None, typer.Option(metavar="DATE", help="Skip readings before this date, UTC.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many readings.")] = None,
    streams: Annotated[
        str | None, typer.Option(help="Send only these streams, separated by commas.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the broker to answer.")
    ] = 60.0,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Shift all stamps so that the last one is now.")
    ] = False,
) -> None:
    """Send a file to a topic as sensors would: JSON records in the order of their stamps,
    at a chosen speed.

    Example: eddycast simulate readings.csv --topic observations --speed 60
    """
    chosen = Simulated(topic, speed, kafka, config, since, limit, streams, wait, shift_to_now)
    simulated(data, reading, chosen)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Content, destination and speed of a simulation; see the options of `simulate`."""

    topic: str | None
    speed: float
    kafka: str | None
    config: str | None
    since: datetime | None = None
    limit: int | None = None
    streams: str | None = None
    wait_s: float = math.inf
    shift_to_now: bool = False


def simulated(data: Data, reading: Reading, chosen: Simulated) -> None:
    """Send files as `chosen`, until done or stopped. Raises DataError, SettingsError,
    BrokerError."""
    flags = [
        *(["--config", chosen.config] if chosen.config else []),
        *(["--kafka.bootstrap_servers", chosen.kafka] if chosen.kafka else []),
    ]
    settings = load_settings(flags)
    configure_log(settings.log.format, settings.log.level)
    history = read_history(data, reading)
    for note in history.notes:
        get_log().info(note)
    if chosen.since is not None:
        history = _since(history, chosen.since)
    readings = merge(history, streams=listed(chosen.streams or ""), limit=chosen.limit)
    if chosen.shift_to_now:
        readings = shifted_to_end_at(readings, time.time_ns() // 1_000_000)
    from eddycast.service.delivery.connect import kafka_broker, warn_of_risks

    warn_of_risks(settings.kafka)
    into = chosen.topic or settings.topics.input
    get_log().info("connecting", kafka=settings.kafka.bootstrap_servers, topic=into)
    with StopSignals(insist=_give_up) as signals:
        broker = kafka_broker(settings.kafka)
        feed(broker, settings, into, readings, chosen.speed, signals.stop, chosen.wait_s)


def feed(
    broker: Broker,
    settings: Settings,
    topic: str,
    readings: Readings,
    speed: float,
    stop: Event,
    wait_s: float = math.inf,
) -> None:
    """Send all readings to `topic`, which is created if the settings allow it, until done or
    stopped. Raises BrokerUnavailable when the broker does not answer within `wait_s`."""
    from eddycast.service.broker.kafka.partitioning import PARTITIONERS

    partitions = _partitions(broker, settings, topic, stop, wait_s)
    if partitions is None:
        return
    throttle, sent = Throttle(PROGRESS_EVERY_S), 0
    throttle.put_off()
    with broker.producer() as producer:
        hashed = PARTITIONERS[settings.feed.partitioner]
        sensors = Sensors(producer, topic, partitions, readings, hashed)
        get_log().info(
            "sending",
            topic=topic,
            readings=len(readings),
            streams=len(readings.streams),
            speed=speed,
        )
        for which in paced(readings.timestamps, speed, stop):
            if not _send(sensors, which, settings.kafka.delivery_timeout_ms / 1000, stop):
                break
            sent = which.stop
            if throttle.is_due():
                get_log().info(
                    "sending",
                    sent=sent,
                    of=len(readings),
                    until=_iso(int(readings.timestamps[sent - 1])),
                )
    get_log().info("sent", readings=sent, topic=topic)


def _partitions(
    broker: Broker, settings: Settings, topic: str, stop: Event, wait_s: float
) -> int | None:
    from eddycast.service.bridges.target import ensured
    from eddycast.service.delivery.connect import reach

    admin = reach(broker, stop, waiting=lambda _what: None, within_s=wait_s)
    if admin is None:
        return None
    with admin:
        return ensured(admin, settings, topic)


def _send(sensors: Sensors, which: slice, timeout_s: float, stop: Event) -> bool:
    """Send until acknowledged; False = stopped.
    The service ignores readings that are sent twice."""
    while not stop.is_set():
        try:
            sensors.send(which, timeout_s)
        except BrokerError as error:
            if not error.retriable:
                raise
            get_log().warning("sending again", reason=error.what)
            stop.wait(1.0)
        else:
            return True
    return False


def _since(history: History, moment: datetime) -> History:
    """The readings from `moment` on, which is UTC unless it has a zone. Raises DataError if there
    are none."""
    start_ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    part = history.between(start_ms)
    if not part.streams:
        raise DataError(
            f"no reading since {moment:%Y-%m-%d %H:%M}", f"the last is of {_iso(history.end_ms)}"
        )
    return part


def _iso(timestamp_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(timestamp_ms / 1000))


def _give_up(_why: str) -> None:
    raise typer.Exit(130)
