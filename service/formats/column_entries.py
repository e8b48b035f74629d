"""The readings of a batch of records as objects, msgspec structs or dicts, before their columns are
read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.formats.avro_entries import AvroEntries, AvroRows, Objects
from eddycast.service.formats.columns import Contents
from eddycast.service.formats.documents import header_texts, whole_documents
from eddycast.service.formats.json_observation import VALUE_LIMIT_BYTES
from eddycast.service.formats.mapping_layout import Layout
from eddycast.service.formats.outcomes import MAX_READINGS
from eddycast.service.mapping.pointers import ABSENT
from eddycast.service.records import Int64, PartitionBatch
from eddycast.service.settings.input import InputSettings


class Entries(NamedTuple):
    """Readings without their numbers, in the order of their records."""

    objects: Objects
    rows: Int64  # of their records
    places: list[str]  # inside of the records

    def select(self, which: Int64) -> Entries:
        at = which.tolist()
        own = self.objects
        objects = own.select(at) if isinstance(own, AvroRows) else [own[i] for i in at]
        return Entries(objects, self.rows[which], [self.places[i] for i in at])


class BatchEntries:
    """Parses the records of a batch."""

    def __init__(self, settings: InputSettings, layout: Layout, batch: PartitionBatch) -> None:
        self._settings, self._layout, self._batch = settings, layout, batch
        #: Records that are not as expected.
        self.bad = np.zeros(len(batch), np.bool_)
        self.documents: list[Any] = []
        #: Rows of the records of the documents.
        self.rows = np.empty(0, np.int64)
        self._headers: list[dict[str, str]] | None = None

    def read(self) -> Entries:
        """The entries of all documents."""
        if self._layout.avro is not None:
            return self._of_avro(self._layout.avro)
        if self._layout.parse is None:
            return self._of_other_formats()
        self._parse(self._layout.parse)
        if self._layout.readings is None:
            return Entries(self.documents, self.rows, [""] * len(self.rows))
        return self._of_several(self._layout.readings(self.documents))

    def _of_avro(self, avro: AvroEntries) -> Entries:
        """The wanted fields of Avro records."""
        objects, rows = avro.read(self._batch.values)
        self.bad[:] = True
        self.bad[rows] = False
        return Entries(objects, rows, [""] * len(rows))

    def _of_other_formats(self) -> Entries:
        """The documents of values that can be read as a whole."""
        objects, rows, places = list[Any](), list[int](), list[str]()
        settings = self._settings
        headers = self.headers() if settings.envelope is not None else None
        for row, (value, time) in enumerate(
            zip(self._batch.values, self._batch.timestamps.tolist(), strict=True)
        ):
            own = {} if headers is None else headers[row]
            try:
                found = whole_documents(settings, value or b"", time, own)
            except Unreadable:
                found = []
            if not 0 < len(found) <= MAX_READINGS or len(value or b"") > VALUE_LIMIT_BYTES:
                self.bad[row] = True
                continue
            for place, document, known in found:
                objects.append(document)
                rows.append(row)
                places.append(place)
                if headers is not None:
                    headers[row] = known
        return Entries(objects, np.array(rows, np.int64), places)

    def _parse(self, parse: Callable[[bytes], Any]) -> None:
        """Parse all values at once, or those that can be parsed."""
        values = self._batch.values
        if max(map(len, filter(None, values)), default=0) <= VALUE_LIMIT_BYTES:
            try:
                self.documents = list(map(parse, values))  # type: ignore[arg-type]
            except (ValueError, TypeError, RecursionError):
                self.documents = []
            else:
                self.rows = np.arange(len(values))
                return
        rows = []
        for row, value in enumerate(values):
            try:
                if value is None or len(value) > VALUE_LIMIT_BYTES:
                    raise ValueError
                self.documents.append(parse(value))
                rows.append(row)
            except (ValueError, RecursionError):
                self.bad[row] = True
        self.rows = np.array(rows, np.int64)

    def _of_several(self, found: Contents) -> Entries:
        """The entries of documents that have several each, or are one: `found`, ABSENT."""
        lists = [
            (document,) if inner is ABSENT else inner if len(inner) <= MAX_READINGS else ()
            for inner, document in zip(found, self.documents, strict=True)
        ]
        counts = np.array(list(map(len, lists)), np.int64)
        self.bad[self.rows[counts == 0]] = True
        each = self._layout.each
        names = [f"{each}/{number}" for number in range(int(counts.max(initial=0)))]
        places = [
            [""] if inner is ABSENT else names[:count]
            for inner, count in zip(found, counts.tolist(), strict=True)
        ]
        return Entries(
            list(chain.from_iterable(lists)),
            np.repeat(self.rows, counts),
            list(chain.from_iterable(places)),
        )

    def headers(self) -> list[dict[str, str]]:
        """Headers of each record of the batch, as text."""
        if self._headers is None:
            own, count = self._batch.headers, len(self._batch)
            self._headers = (
                [{}] * count if own is None else [header_texts(own[i]) for i in range(count)]
            )
        return self._headers
