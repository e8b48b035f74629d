"""Messages that do not come from Kafka become readings and dead letters, by the mapping with which
the service reads records."""

from __future__ import annotations

from collections.abc import Sequence

from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.dead_letters.headers import LETTER_BYTES
from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.errors import SettingsError
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Filtered, Outcome, Reading, Record, Refused
from eddycast.service.processing.outputs import merged_letters
from eddycast.service.records import LAST_TIMESTAMP, DeadLetter, Headers, headers_bytes
from eddycast.service.settings.settings import Settings


class MessageMapper:
    """Maps messages, whose time is that of their arrival."""

    def __init__(self, settings: Settings, channels: int) -> None:
        """Raises SettingsError if the mapping does not fit the number of channels, or is of
        Avro."""
        if settings.input.format == "avro":
            raise SettingsError("Avro is read from topics of Kafka only", "set input.format")
        self._mapping = Mapping(settings.input, channels, settings.time.earliest_ms)
        self._far_future_ms = settings.time.far_future_ms

    def record(
        self, topic: str, key: bytes | None, value: bytes, headers: Headers, time_ms: int
    ) -> Record:
        """A message as a record."""
        latest = min(time_ms + self._far_future_ms, LAST_TIMESTAMP)
        return Record(topic, key, value, headers, time_ms, latest)

    def read(self, record: Record) -> list[Outcome]:
        """Return what becomes of each reading of a message."""
        size = headers_bytes(list(record.headers)) if record.headers else 0
        if size > LETTER_BYTES:
            reason = f"the headers have {size} bytes; {LETTER_BYTES} are allowed"
            return [Refused(Unreadable("too_large", reason), "")]
        return self._mapping.read(record)


def add_readings(record: Record, outcomes: Sequence[Outcome], outgoing: Outgoing) -> int:
    """Add the readings of a message; returns the number of those that are filtered."""
    headers = list(record.headers)
    for outcome in outcomes:
        if isinstance(outcome, Reading):
            outgoing.add_reading(outcome.stream, outcome.timestamp, outcome.values, headers)
    return sum(isinstance(outcome, Filtered) for outcome in outcomes)


def add_letters(record: Record, outcomes: Sequence[Outcome], outgoing: Outgoing) -> None:
    """Add the dead letters of a message, one for each kind of error. It has no offset."""
    letters = [
        DeadLetter(
            record.topic,
            -1,
            -1,
            record.key,
            record.value,
            outcome.why.error,
            outcome.why.reason,
            headers=record.headers,
            time=record.time,
            places=(outcome.place,) if outcome.place else (),
        )
        for outcome in outcomes
        if isinstance(outcome, Refused)
    ]
    for letter in merged_letters(letters):
        outgoing.add_letter(letter)
