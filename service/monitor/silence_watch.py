"""Streams that fell silent, or are back, since the last look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.event_records import Event, back, silent
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.silence import is_silent, silence_ms


class _Latest(NamedTuple):
    """The latest record of a stream; records are compared by their broker time, ms."""

    arrived: int
    stamp: int
    rhythm_ms: float
    silent_ms: float
    is_silent: bool


class SilenceWatch:
    """Compares the board with the streams that are `silent` by what was written last, each with
    the time of that event, ms.

    A stream is judged by its latest record: a target that its model does not have any more stays
    on the board until it is forgotten.
    """

    def __init__(self, board: Board, silent: dict[str, int]) -> None:
        self._board, self._silent = board, silent

    def look(self, now_ms: int) -> list[Event]:
        """The events since the last look, one for each stream. The board's lock is held."""
        latest = self._latest(now_ms)
        self._forget(latest, now_ms)
        return list(self._changes(latest, now_ms))

    def _latest(self, now_ms: int) -> dict[str, _Latest]:
        """The latest record of each stream, of any target and shape."""
        found: dict[str, _Latest] = {}
        for panel in self._board.occupied():
            for stream, record in self._records(panel, now_ms):
                if stream not in found or record.arrived > found[stream].arrived:
                    found[stream] = record
        return found

    def _records(self, panel: Panel, now_ms: int) -> Iterator[tuple[str, _Latest]]:
        """The streams of a panel's rows, and the latest record of each row."""
        rows = panel.rows()
        arrived, rhythms_ms = panel.arrived[rows], panel.rhythms_ms(rows)
        columns = (
            arrived,
            panel.last_stamps(rows),
            rhythms_ms,
            silence_ms(arrived, now_ms),
            is_silent(arrived, rhythms_ms, now_ms, self._board.settings.silent_after),
        )
        records = map(_Latest, *(column.tolist() for column in columns))
        for row, record in zip(rows.tolist(), records, strict=True):
            if (series := panel.series[row]) is not None:
                yield series.stream, record

    def _forget(self, latest: dict[str, _Latest], now_ms: int) -> None:
        """Discard streams that the board has forgotten. One that was not read back may still
        return."""
        before_ms = now_ms - self._board.settings.forget_after_s * 1_000
        old = [stream for stream, time_ms in self._silent.items() if time_ms < before_ms]
        for stream in old:
            if stream not in latest:
                del self._silent[stream]

    def _changes(self, latest: dict[str, _Latest], now_ms: int) -> Iterator[Event]:
        for stream, record in latest.items():
            if record.is_silent and stream not in self._silent:
                self._silent[stream] = now_ms
                yield silent(stream, record.stamp, record.silent_ms, record.rhythm_ms)
            elif not record.is_silent and stream in self._silent:
                del self._silent[stream]
                yield back(stream, record.stamp)
