"""Bad data in the log: each kind once a minute at most, with how much of it there was, one example and what to do.

The dead-letter topic holds every record, the metrics count them; a line in the log is what somebody notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.observability.log import get_log
from service.observability.throttle import Throttle
from service.processing.alignment import Verdict
from service.records import DeadLetter, Observations

#: From one line of a kind to the next one, s.
EVERY_S = 60.0
#: A stream's name in a line, at most, in characters.
_NAME = 100

_DROPPED, _ANEW = "readings were dropped", "streams began anew"
#: Verdicts that are worth a line: what happened, and what to do.
_VERDICTS: Final = {
    Verdict.DUPLICATE: (_DROPPED, "a sender repeats itself: nothing is lost, the first counts"),
    Verdict.SECOND: (_DROPPED, "readings come faster than the model's interval: train with theirs, or send fewer"),
    Verdict.LATE: (_DROPPED, "a clock is wrong, or a buffer is sent late: time.late_to_dead_letters keeps them"),
    Verdict.RESTART: (_ANEW, "a clock was set back, or several senders use one name: give each its own"),
}
_SHAPE: Final = 'send {"timestamp": ms or ISO 8601, "value": number or null}'
#: What to do about dead letters, by their error; about all others, to read the topic.
_ACTIONS: Final = {
    "no_key": "send the stream's name as the record's key",
    "bad_key": "send the stream's name as the record's key, in UTF-8",
    "not_json": _SHAPE,
    "no_value": _SHAPE,
    "not_a_number": _SHAPE,
    "not_finite": "send null for a missing value",
    "wrong_channels": "send as many numbers as the model has channels, or serve another bundle",
    "bad_timestamp": _SHAPE,
    "seconds": "send milliseconds or ISO 8601; for an archive that old, lower time.earliest",
    "far_future": "set the sender's clock, or raise time.far_future_s",
    "too_large": "shorten the key or the value; for a record batch, send less at once or raise kafka.unpacked_bytes",
    "undecodable": "look at the broker's disk and at who wrote the batch",
    "too_many_streams": "look for invented names; raise state.max_streams or the memory, or share the input among more",
    "failed": "the bundle cannot take the record: report it with the record",
    "forecast_too_large": "raise max.message.bytes of the output topic, or shorten the horizon",
}


@dataclass(slots=True)
class _Seen:
    """Of one kind, since its last line."""

    event: str
    count: int
    example: dict[str, object]
    action: str


class BadData:
    """What was bad since the last lines. Records that are read again after a failure count again."""

    def __init__(self, topics: tuple[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        """`topics`: the input and the dead letters."""
        self._input, self._dead_letters = topics
        self._throttle = Throttle(EVERY_S, clock)
        self._seen: dict[str, _Seen] = {}

    def add(self, letters: Sequence[DeadLetter], decoded: Sequence[Observations], verdicts: NDArray[np.int8]) -> None:
        """Of one portion: its dead letters, and what became of its readings, laid end to end."""
        for letter in letters:
            seen = self._seen.get(letter.error)
            if seen is not None:
                seen.count += 1
            elif letter.error != "late":  # a verdict as well
                self._seen[letter.error] = self._first(letter)
        counts = np.bincount(verdicts, minlength=len(Verdict))
        for verdict in _VERDICTS:
            if count := int(counts[verdict]):
                self._add(verdict, count, decoded, verdicts)

    def log_due(self, now: bool = False) -> None:
        """Write the lines that are due, or all that are left if this is the last chance."""
        for kind in list(self._seen):
            if now or self._throttle.is_due(kind):
                seen = self._seen.pop(kind)
                get_log().warning(seen.event, kind=kind, count=seen.count, **seen.example, action=seen.action)

    def _first(self, letter: DeadLetter) -> _Seen:
        place = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
        example = {**place, "stream": _name(letter.key), "reason": letter.reason}
        action = _ACTIONS.get(letter.error, f"the headers in {self._dead_letters} say what is wrong with which record")
        return _Seen("records became dead letters", 1, example, action)

    def _add(self, verdict: Verdict, count: int, decoded: Sequence[Observations], verdicts: NDArray[np.int8]) -> None:
        kind = verdict.name.lower()
        if (seen := self._seen.get(kind)) is not None:
            seen.count += count
            return
        event, action = _VERDICTS[verdict]
        row = int(np.argmax(verdicts == verdict))
        for batch in decoded:
            if row < len(batch):
                place = {"topic": self._input, "partition": batch.partition, "offset": int(batch.offsets[row])}
                self._seen[kind] = _Seen(event, count, {**place, "stream": _name(batch.streams[row])}, action)
                return
            row -= len(batch)


def _name(key: bytes | None) -> str | None:
    return None if key is None else key[: 4 * _NAME].decode(errors="replace")[:_NAME]
