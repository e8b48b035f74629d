"""Log lines about bad data: each kind at most once a minute, with a count,
one example and what to do.

The dead-letter topic holds every bad record and the metrics count them;
the log draws attention to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eddycast.service.dead_letters.codes import CODES
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import BAD_DATA_S, Throttle
from eddycast.service.processing.alignment import Verdict
from eddycast.service.records import DeadLetter, Observations

#: Maximum length of a stream's name in a line, characters.
_NAME = 100

_DROPPED, _RESTARTED = "readings were dropped", "streams were restarted"
_CLOCK = "a clock was set back, or several senders share a name: give each its own"
#: Verdicts that are logged: event and action.
_VERDICTS: Final = {
    Verdict.DUPLICATE: (_DROPPED, "a sender repeats readings: harmless, the first one counts"),
    Verdict.SECOND: (
        _DROPPED,
        "readings are faster than the model's interval: set time.aggregate, or train a shorter one",
    ),
    Verdict.LATE: (_DROPPED, CODES["late"].action),
    Verdict.SET_BACK: ("streams went back in time and kept their memory", _CLOCK),
    Verdict.RESTART: (_RESTARTED, _CLOCK),
}


@dataclass(slots=True)
class _Seen:
    """Bad data of one kind since its last line."""

    event: str
    count: int
    example: dict[str, object]
    action: str


class BadData:
    """Collects bad data and logs it. Records that are read again after a failure are counted
    again."""

    def __init__(
        self, topics: tuple[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`topics` are the input topic and the dead-letter topic."""
        self._input, self._dead_letters = topics
        self._throttle = Throttle(BAD_DATA_S, clock)
        self._seen: dict[str, _Seen] = {}

    def add(
        self,
        letters: Sequence[DeadLetter],
        decoded: Sequence[Observations],
        verdicts: NDArray[np.int8],
    ) -> None:
        """Add the dead letters of one chunk, and the verdicts [n] on its concatenated
        observations."""
        for letter in letters:
            seen = self._seen.get(letter.error)
            if seen is not None:
                seen.count += max(1, len(letter.places))
            elif letter.error != "late":  # counted by verdict below
                self._seen[letter.error] = self._first(letter)
        counts = np.bincount(verdicts, minlength=len(Verdict))
        for verdict in _VERDICTS:
            if count := int(counts[verdict]):
                self._add(verdict, count, decoded, verdicts)

    def log_due(self, now: bool = False) -> None:
        """Log the kinds that are due; with `now`, at shutdown, all of them."""
        for kind in list(self._seen):
            if now or self._throttle.is_due(kind):
                seen = self._seen.pop(kind)
                get_log().warning(
                    seen.event, kind=kind, count=seen.count, **seen.example, action=seen.action
                )

    def _first(self, letter: DeadLetter) -> _Seen:
        place = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
        example = {**place, "stream": _name(letter.key), "reason": letter.reason}
        if letter.places:
            example["reading"] = letter.places[0][:_NAME]
        code = CODES.get(letter.error)
        action = code.action if code else f"see the headers of the records in {self._dead_letters}"
        count = max(1, len(letter.places))
        return _Seen("records became dead letters", count, example, action)

    def _add(
        self,
        verdict: Verdict,
        count: int,
        decoded: Sequence[Observations],
        verdicts: NDArray[np.int8],
    ) -> None:
        kind = verdict.name.lower()
        if (seen := self._seen.get(kind)) is not None:
            seen.count += count
            return
        event, action = _VERDICTS[verdict]
        row = int(np.argmax(verdicts == verdict))
        for batch in decoded:
            if row < len(batch):
                place = {
                    "topic": self._input,
                    "partition": batch.partition,
                    "offset": int(batch.offsets[row]),
                }
                self._seen[kind] = _Seen(
                    event, count, {**place, "stream": _name(batch.streams[row])}, action
                )
                return
            row -= len(batch)


def _name(key: bytes | None) -> str | None:
    return None if key is None else key[: 4 * _NAME].decode(errors="replace")[:_NAME]
