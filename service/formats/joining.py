"""Channels of a stream that come one by one, as `input.channel` describes: each number is a reading
in which the other channels are missing, and the step joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eddycast.service.formats.outcomes import Reading
from eddycast.service.formats.reading_columns import ReadingColumns
from eddycast.service.mapping.templates import CHANNEL_MARK

_MARK = CHANNEL_MARK.encode()


class Joining:
    """Readings of one channel, named by stream and channel, as readings of all `channels`."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._places = {name.encode(): place for place, name in enumerate(channels)}

    def apart(self, name: bytes) -> tuple[bytes, int]:
        """A stream and the place of a channel, -1 = there is no such channel."""
        stream, _, channel = name.rpartition(_MARK)
        return stream, self._places.get(channel, -1)

    def reading(self, one: Reading) -> Reading:
        """A reading of a known channel."""
        stream, place = self.apart(one.stream)
        values = [math.nan] * len(self._places)
        values[place] = one.values[0]
        return one._replace(stream=stream, values=values)

    def columns(self, found: ReadingColumns) -> ReadingColumns:
        """Readings of known channels."""
        known = {name: self.apart(name) for name in set(found.streams)}
        places = np.array([known[name][1] for name in found.streams], np.int64)
        values = np.full((len(places), len(self._places)), np.nan)
        values[np.arange(len(places)), places] = found.values[:, 0]
        return replace(found, streams=[known[name][0] for name in found.streams], values=values)
