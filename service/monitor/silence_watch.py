"""Streams that fell silent, or are back, since the last look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.event_records import Event, back, silent
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.ring import Rows
from eddycast.service.monitor.silence import is_silent
from eddycast.service.records import Float64, Int64


class _Columns(NamedTuple):
    """Columns of the latest records of a panel's rows."""

    arrived: list[int]  # broker time, ms
    is_silent: list[bool]
    stamps: Int64
    rhythms_ms: Float64


class _Latest(NamedTuple):
    """The latest record of a stream, as a place in the columns of its panel."""

    columns: _Columns
    at: int


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
            rows = panel.rows()
            columns = self._columns(panel, rows, now_ms)
            for i, (row, arrived) in enumerate(zip(rows.tolist(), columns.arrived, strict=True)):
                if (series := panel.series[row]) is None:
                    continue
                other = found.get(series.stream)
                if other is None or arrived > other.columns.arrived[other.at]:
                    found[series.stream] = _Latest(columns, i)
        return found

    def _columns(self, panel: Panel, rows: Rows, now_ms: int) -> _Columns:
        arrived, rhythms_ms = panel.arrived[rows], panel.rhythms_ms(rows)
        quiet = is_silent(arrived, rhythms_ms, now_ms, self._board.settings.silent_after)
        return _Columns(arrived.tolist(), quiet.tolist(), panel.last_stamps(rows), rhythms_ms)

    def _forget(self, latest: dict[str, _Latest], now_ms: int) -> None:
        """Discard streams that the board has forgotten. One that was not read back may still
        return."""
        before_ms = now_ms - self._board.settings.forget_after_s * 1_000
        old = [stream for stream, time_ms in self._silent.items() if time_ms < before_ms]
        for stream in old:
            if stream not in latest:
                del self._silent[stream]

    def _changes(self, latest: dict[str, _Latest], now_ms: int) -> Iterator[Event]:
        for stream, (columns, i) in latest.items():
            quiet = columns.is_silent[i]
            if quiet == (stream in self._silent):
                continue
            stamp = int(columns.stamps[i])
            if quiet:
                self._silent[stream] = now_ms
                silent_ms = float(now_ms - columns.arrived[i])
                yield silent(stream, stamp, silent_ms, float(columns.rhythms_ms[i]))
            else:
                del self._silent[stream]
                yield back(stream, stamp)
