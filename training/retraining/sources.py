"""The history of a retraining: files, the archive, or a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eddycast.service.bundle import Manifest
from eddycast.service.delivery.connect import kafka_broker
from eddycast.service.errors import DataError
from eddycast.service.history import History, ReadOptions, read_history
from eddycast.service.settings.settings import Settings

ARCHIVE, KAFKA = "archive", "kafka"


def read_sources(
    sources: Sequence[str], settings: Settings, options: ReadOptions, champion: Manifest | None
) -> History:
    """Read `archive`, `kafka`, `kafka:TOPIC` or `kafka:TOPIC@BEGIN` (see `read_topic`), or
    files as all commands do, with the champion's channels unless `options` name others. Raises
    DataError, SettingsError, BrokerError."""
    read = () if champion is None else champion.read_channels
    own = read if len(read) > 1 else ()
    options = replace(options, channels=options.channels or own)
    kind, _, topic = sources[0].partition(":")
    if kind not in (ARCHIVE, KAFKA):
        return read_history(sources, options)
    if settings.input.channel is not None:
        raise DataError(
            f"--history {sources[0]}: channels that come in different records (input.channel) are "
            "not joined here",
            "give files with a column for each channel",
        )
    if len(sources) > 1:
        raise DataError(
            f"--history {sources[0]} and {sources[1]} are not read together",
            "name one of them, or several files",
        )
    # imports polars
    from eddycast.service.archive.reading import read_archive, read_topic

    if kind == KAFKA:
        topic, _, begin = topic.partition("@")
        topic, broker = topic or settings.topics.input, kafka_broker(settings.kafka)
        return read_topic(broker, settings, topic, options.channels, options, begin)
    topic = topic or settings.topics.input
    return read_archive(settings.archive.place(), topic, options.channels, options)
