"""Positions of a mapping's fields in a document: the types that hold them, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from eddycast.service.formats.avro_entries import AvroEntries
from eddycast.service.formats.avro_frame import unframed
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.formats.columns import Tokens
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.mapping_structs import (
    NUMBER,
    SCALAR,
    Column,
    Unsupported,
    dict_column,
    struct_of,
)
from eddycast.service.mapping.conditions import Condition
from eddycast.service.mapping.pointers import ABSENT, Pointer
from eddycast.service.settings.input import InputSettings

_WORDS = dict[str, SCALAR]


@dataclass(frozen=True, slots=True)
class Layout:
    """The types of documents of one mapping, and how their columns are read."""

    #: Parser of a value that is one document; raises ValueError or RecursionError. None = values
    #: are documents of other formats (`documents.py`), which are dicts.
    parse: Callable[[bytes], Any] | None
    conditions: list[Condition]  # those that do not follow from the presence of the numbers
    #: Columns of readings, and of the documents around them.
    columns: dict[Tokens, Column]
    #: Readings of each document, ABSENT = it is a reading itself; None = all are.
    readings: Column | None = None
    each: str = ""  # pointer to the readings, without the *
    #: The entries of an object are the numbers: column of such objects, and the pointer to them.
    entries: tuple[Column, str] | None = None
    #: Reader of Avro records; None = they are of another format.
    avro: AvroEntries | None = None


def layout_of(mapping: Mapping, settings: InputSettings, channels: int) -> Layout:
    """The layout of a mapping. Raises Unsupported for shapes that are read one by one."""
    if not mapping.fields and len(mapping.values) != channels:
        raise Unsupported
    conditions = [
        condition for condition, _ in mapping.conditions if not _is_implied(condition, mapping)
    ]
    sources = _sources(mapping, conditions)
    wild = _wild(mapping)
    if mapping.avro is not None:
        return _of_avro(mapping, mapping.avro.reader, sources, conditions)
    if settings.format != "json" or settings.envelope == "cloudevents":
        return _of_dicts(mapping, settings, sources, conditions, wild)
    if wild == ():
        return _of_words(mapping, settings, sources, conditions)
    leaves = {pointer.tokens: SCALAR for pointer in sources}
    if wild is not None:
        leaves[wild] = _WORDS
    else:
        kind = NUMBER if settings.has_numbers_only else SCALAR
        for pointer in mapping.fields or mapping.values:
            leaves[pointer.tokens] = SCALAR if pointer.tokens in leaves else kind
    reading, columns = struct_of(leaves)
    entries = None if wild is None else (columns[wild], str(Pointer(wild)))
    if mapping.each is None:
        return Layout(_parser(reading, settings), conditions, columns, entries=entries)
    document, readings, each = _several(mapping.each, reading, leaves)
    return Layout(_parser(document, settings), conditions, columns, readings, each, entries)


def _wild(mapping: Mapping) -> Tokens | None:
    """The object whose entries are the numbers, () = the document; None if fields are named."""
    wild = [pointer.tokens for pointer in mapping.fields if pointer.has_any]
    if not wild:
        return None
    if len(mapping.fields) > 1 or "*" in wild[0][:-1]:
        raise Unsupported
    return wild[0][:-1]


def _several(each: Pointer, reading: type, leaves: dict[Tokens, Any]) -> tuple[Any, Column, str]:
    """Type of documents with several readings, column of those, and the pointer to them.

    A document has the fields of a reading, in the same order, so that the columns of readings are
    columns of documents as well.
    """
    place = each.tokens[:-1]
    if each.tokens[-1] != "*":
        raise Unsupported
    several: Any = list[reading]  # type: ignore[valid-type]
    if not place:
        return several | reading, _arrays, ""
    document, columns = struct_of(leaves | {place: several})
    column = columns[place]
    return document, column if len(place) == 1 else _never_itself(column), str(Pointer(place))


def _arrays(documents: Sequence[Any]) -> list[Any]:
    return [document if isinstance(document, list) else ABSENT for document in documents]


def _never_itself(column: Column) -> Column:
    """A column in which absent readings are none; whether such a document is a reading itself
    depends on more."""
    return lambda documents: [() if found is ABSENT else found for found in column(documents)]


def _of_avro(
    mapping: Mapping, reader: AvroReader, sources: Sequence[Pointer], conditions: list[Condition]
) -> Layout:
    """The layout of Avro records with one reading each, or with a field for each."""
    pointers = [*sources, *(mapping.fields or mapping.values)]
    is_several = mapping.each is not None or any(pointer.has_any for pointer in pointers)
    if is_several or mapping.settings.envelope == "cloudevents":
        raise Unsupported
    avro = AvroEntries(reader, [pointer.tokens for pointer in pointers])
    return Layout(None, conditions, avro.columns, avro=avro)


def _of_dicts(
    mapping: Mapping,
    settings: InputSettings,
    sources: Sequence[Pointer],
    conditions: list[Condition],
    wild: Tokens | None,
) -> Layout:
    """The layout of documents of other formats."""
    pointers = [*sources, *(mapping.fields or mapping.values)]
    if mapping.each is not None or (settings.format != "json" and settings.envelope is not None):
        raise Unsupported
    if any(token.isdigit() for pointer in pointers for token in pointer.tokens):
        raise Unsupported
    columns = {pointer.tokens: dict_column(pointer.tokens) for pointer in pointers}
    entries = None if wild is None else (dict_column(wild), str(Pointer(wild)) if wild else "")
    return Layout(None, conditions, columns, entries=entries)


def _of_words(
    mapping: Mapping,
    settings: InputSettings,
    sources: Sequence[Pointer],
    conditions: list[Condition],
) -> Layout:
    """The layout of documents whose own entries are the numbers."""
    if mapping.each is not None or any(len(pointer.tokens) > 1 for pointer in sources):
        raise Unsupported
    columns = {pointer.tokens: dict_column(pointer.tokens) for pointer in sources}
    return Layout(_parser(_WORDS, settings), conditions, columns, entries=(list, ""))


def _parser(kind: Any, settings: InputSettings) -> Callable[[bytes], Any]:
    """Parser of documents, without their frame and envelope."""
    parse = _unpacked(kind, settings)
    if settings.framing is None:
        return parse
    return lambda value: parse(unframed(value))


def _unpacked(kind: Any, settings: InputSettings) -> Callable[[bytes], Any]:
    """Parser of documents, without their envelope."""
    if settings.envelope is None:
        parse: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
        return parse
    envelope = msgspec.defstruct(
        "Envelope",
        [("schema", msgspec.Raw), ("payload", kind)],
        forbid_unknown_fields=True,
        gc=False,
    )
    unpacked = msgspec.json.Decoder(envelope).decode
    return lambda value: unpacked(value).payload  # type: ignore[attr-defined]


def _is_implied(condition: Condition, mapping: Mapping) -> bool:
    """True if the condition is that something exists in which all numbers are: a record without it
    has no numbers, and is read one by one."""
    pointer = condition.place.pointer
    if condition.literal is not None or not condition.wanted or pointer is None:
        return False
    size, numbers = len(pointer.tokens), mapping.fields or mapping.values
    return all(number.tokens[:size] == pointer.tokens for number in numbers)


def _sources(mapping: Mapping, conditions: Sequence[Condition]) -> list[Pointer]:
    """Fields that name the stream, the time or a condition. Raises Unsupported."""
    places = [
        *mapping.template.sources,
        *(place for place, _ in mapping.times),
        *(condition.place for condition in conditions),
    ]
    if any(place.is_read_by_record for place in places):
        raise Unsupported
    return [pointer for place in places if (pointer := place.pointer) is not None]
