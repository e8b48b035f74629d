"""Wall and CPU time of a stretch of work, measured from inside the process that does it."""

from __future__ import annotations

import time


class Clock:
    """Started once, by the first records; `stop` may be called again and moves the end."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None
        self._end = (0.0, 0.0)

    def start(self) -> None:
        """Start the clock; further calls are ignored."""
        if self._start is None:
            self._start = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """The work is done up to here."""
        self._end = (time.perf_counter(), time.process_time())

    def report(self, records: int) -> dict[str, float]:
        """Records a second, and CPU microseconds a record of all threads of this process."""
        if self._start is None:
            raise RuntimeError("nothing was measured")
        wall, cpu = (end - start for end, start in zip(self._end, self._start, strict=True))
        return {"rate": records / wall, "cpu_us": cpu / records * 1e6}
