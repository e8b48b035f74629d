"""Streams that fell silent, or are back, since the last look."""

from __future__ import annotations

from collections.abc import Iterator

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.event_records import Event, back, silent
from eddycast.service.monitor.panel import Panel
from eddycast.service.monitor.silence import is_silent, silence_ms


class SilenceWatch:
    """Compares the board with the streams that are `silent` by what was written last."""

    def __init__(self, board: Board, silent: set[str]) -> None:
        self._board, self._silent = board, silent

    def look(self, now_ms: int) -> list[Event]:
        """The events since the last look, one for each stream. The board's lock is held."""
        return [event for panel in self._board.occupied() for event in self._changes(panel, now_ms)]

    def _changes(self, panel: Panel, now_ms: int) -> Iterator[Event]:
        rows = panel.rows()
        stamps, rhythms_ms = panel.last_stamps(rows), panel.rhythms_ms(rows)
        arrived, after = panel.arrived[rows], self._board.settings.silent_after
        quiet = is_silent(arrived, rhythms_ms, now_ms, after).tolist()
        for i, row in enumerate(rows.tolist()):
            if (series := panel.series[row]) is None:
                continue
            stream, stamp = series.stream, int(stamps[i])
            if quiet[i] and stream not in self._silent:
                self._silent.add(stream)
                silent_ms = float(silence_ms(arrived[i], now_ms))
                yield silent(stream, stamp, silent_ms, float(rhythms_ms[i]))
            elif not quiet[i] and stream in self._silent:
                self._silent.remove(stream)
                yield back(stream, stamp)
