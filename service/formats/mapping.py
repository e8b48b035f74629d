"""Mapping of any record to readings, compiled once from the settings of the group `input`.

    value -> documents -> their readings (`each`) -> numbers of a reading (`value`, `fields`)

`read` applies it to one record and is the definition; `mapping_columns.py` does the same with whole
columns for the common shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.errors import SettingsError
from eddycast.service.formats.avro_documents import AvroDocuments
from eddycast.service.formats.documents import (
    documents,
    header_texts,
    key_text,
    without_envelope,
)
from eddycast.service.formats.json_observation import (
    CONTROLS,
    EARLIEST,
    KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
    check_key,
    check_not_ahead,
)
from eddycast.service.formats.mapping_numbers import Channels, Field, Fields
from eddycast.service.formats.outcomes import (
    MAX_READINGS,
    Filtered,
    Outcome,
    Reading,
    Record,
    Refused,
)
from eddycast.service.formats.schemas import NO_SCHEMAS, SchemaOf
from eddycast.service.mapping.cells import Cells
from eddycast.service.mapping.conditions import StreamFilter
from eddycast.service.mapping.pointers import ABSENT, Match, Pointer
from eddycast.service.mapping.sources import Context
from eddycast.service.mapping.stamps import Stamps
from eddycast.service.mapping.templates import Namer
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.input import InputSettings

#: Number of names of streams whose filtering is remembered.
_REMEMBERED = 1 << 16


class Mapping:
    """Maps records to readings of `channels` channels."""

    def __init__(
        self,
        settings: InputSettings,
        channels: int,
        earliest_ms: int = EARLIEST,
        schema_of: SchemaOf = NO_SCHEMAS.schema_of,
    ) -> None:
        """Raises SettingsError if the mapping does not fit the number of channels."""
        self.settings = settings
        #: Reader of Avro records, None if records are of another format.
        self.avro = AvroDocuments(schema_of) if settings.format == "avro" else None
        self.values, self.fields = settings.chosen_values, settings.chosen_fields
        self.each = settings.chosen_each
        if self.fields and channels > 1:
            raise SettingsError(
                f"input.fields makes streams of one channel; the model has {channels}",
                "name the fields of the channels in input.value",
            )
        if not self.fields and len(self.values) not in (1, channels):
            raise SettingsError(
                f"input.value names {len(self.values)} fields; the model has {channels} channels",
                "name one field for each channel, as /a, /b",
            )
        self.may_have_several = (
            bool(self.fields)
            or self.each is not None
            or settings.format not in ("json", "avro", "text")
        )
        self.template = settings.chosen_stream
        self.names_key = self.template.names("key")
        self.name = Namer(self.template)
        self.times = [(place, place.reader()) for place in settings.chosen_timestamps]
        self.stamps = Stamps(settings.timestamp_unit, settings.zone, earliest_ms)
        self.cells = Cells(
            settings.chosen_words,
            text=settings.lenient_numbers,
            booleans=settings.booleans,
            units=settings.units,
        )
        self.conditions = [
            (condition, condition.place.reader()) for condition in settings.chosen_conditions
        ]
        self.filters = settings.streams is not None
        self._is_served = lru_cache(_REMEMBERED)(StreamFilter(listed(settings.streams or "")))
        own = {place.pointer for place in settings.chosen_timestamps}
        self.time_paths = {str(pointer) for pointer in own if pointer is not None}
        self.number_fields = Fields(self.fields, self.time_paths, self.cells)
        self._read_channels = Channels(self.values, channels, self.cells).read

    def read(self, record: Record) -> list[Outcome]:
        """Return what becomes of each reading of a record, in its order; never empty."""
        try:
            if len(record.value) > VALUE_LIMIT_BYTES:
                raise Unreadable(
                    "too_large",
                    f"the value has {len(record.value)} bytes; {VALUE_LIMIT_BYTES} are allowed",
                )
            found = list(self._outcomes(record))
        except Unreadable as why:
            return [Refused(why, "")]
        if len(found) > MAX_READINGS:
            reason = f"the record has {len(found)} readings; {MAX_READINGS} are allowed"
            return [Refused(Unreadable("too_many_readings", reason), "")]
        return found or [Filtered("")]

    def _outcomes(self, record: Record) -> Iterator[Outcome]:
        """Raises Unreadable for what concerns the whole record."""
        settings = self.settings
        record = record if self.avro is None else self.avro.opened(record)
        key = self.key_text(record.key)
        headers = header_texts(list(record.headers))
        for place, document in self._documents(record):
            if isinstance(document, Unreadable):
                yield Refused(document, place)
                continue
            if document is ABSENT:
                yield Filtered(place)
                continue
            inner, known = without_envelope(settings.envelope, document, headers)
            for match in self._elements(inner):
                if match.path and not isinstance(match.value, dict | list):
                    yield Filtered(place + match.path)
                    continue
                context = Context(
                    record.topic,
                    key,
                    known,
                    record.time,
                    inner,
                    match.value,
                    record.key,
                    match.any,
                )
                yield from self._of_element(context, record.latest, place + match.path)

    def _documents(self, record: Record) -> Iterator[tuple[str, Any]]:
        """The documents of a record with their places: see `documents.documents`."""
        if self.avro is not None:
            return iter([("", self.avro.document(record.value))])
        return documents(self.settings, record.value, record.time)

    def key_text(self, key: bytes | None) -> str | None:
        """The key as text, None if there is none or it is no text: it need not name the stream."""
        try:
            return key_text(self.settings.envelope, key)
        except Unreadable:
            return None

    def _elements(self, document: Any) -> Iterator[Match]:
        """The readings of a document: entries that `each` matches, or the document itself if it
        does not have the field, or is no array, that `each` begins with."""
        if self.each is not None and _begins(document, self.each):
            return self.each.matches(document)
        return iter([Match("", (), document)])

    def _of_element(self, context: Context, latest: int, place: str) -> Iterator[Outcome]:
        if not all(condition.accepts(read(context)) for condition, read in self.conditions):
            yield Filtered(place)
            return
        if not self.fields:
            yield self._one(context, latest, place, partial(self._read_channels, context.element))
            return
        fields = list(self.number_fields.read(context.element))
        for field in fields:
            if field.is_number:
                context.field = field.name
                values = partial(self._number_of, field)
                yield self._one(context, latest, place + field.path, values)
            else:
                yield Filtered(place + field.path)
        if not fields and not self.number_fields.are_empty(context.element):
            names = " or ".join(map(str, self.fields))
            yield Refused(Unreadable("no_value", f"there is no {names} in the record"), place)

    def _number_of(self, field: Field) -> list[float]:
        return [self.cells.number(field.value, field.path)]

    def _one(
        self, context: Context, latest: int, place: str, values: Callable[[], list[float]]
    ) -> Outcome:
        try:
            name = self._named(context)
            if not self.serves(name):
                return Filtered(place)
            return Reading(name, self._time(context, latest), values(), place)
        except Unreadable as why:
            return Refused(why, place)

    def serves(self, stream: bytes) -> bool:
        """True unless the settings pass over the stream."""
        return not self.filters or self._is_served(stream.decode())

    def _named(self, context: Context) -> bytes:
        if self.names_key:
            check_key(context.raw_key)
        return self.checked_name(self.name(context))

    def checked_name(self, name: str) -> bytes:
        """The name of a stream as bytes. Raises Unreadable."""
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            raise Unreadable("bad_stream", f"the stream {name[:40]!r} is no valid text") from None
        if len(encoded) > KEY_LIMIT_BYTES:
            raise Unreadable(
                "bad_stream", f"its name has {len(encoded)} bytes; {KEY_LIMIT_BYTES} are allowed"
            )
        if len(encoded.translate(None, CONTROLS)) < len(encoded):
            raise Unreadable("bad_stream", f"the stream {name[:40]!r} contains control characters")
        return encoded

    def _time(self, context: Context, latest: int) -> int:
        for place, read in self.times:
            found = read(context)
            if place.name == "record":
                return self._record_time(context, latest)
            if found is not ABSENT and found is not None:
                stamp = self.stamps.milliseconds(found, place.name, context.time)
                return check_not_ahead(stamp, context.time, latest)
        names = " or ".join(place.name for place, _ in self.times)
        raise Unreadable("bad_timestamp", f"there is no {names}; see input.timestamp")

    def _record_time(self, context: Context, latest: int) -> int:
        if context.time < 0:
            raise Unreadable("bad_timestamp", "the record has no broker time")
        return check_not_ahead(context.time, context.time, latest)


def _begins(document: Any, each: Pointer) -> bool:
    if each.tokens[0] == "*":
        return isinstance(document, list) or (len(each.tokens) > 1 and isinstance(document, dict))
    return (
        isinstance(document, dict | list) and Pointer(each.tokens[:1]).find(document) is not ABSENT
    )
