"""A worker as of the last look."""

from __future__ import annotations

from typing import NamedTuple

from eddycast.service.monitor.workers.history import History
from eddycast.service.monitor.workers.names import Worker


class Seen(NamedTuple):
    """A worker that answered (`up`) or did not, and what it answered before."""

    worker: Worker
    history: History
    answered_ms: int | None  # when it answered last, since 1970
    up: bool = False
    ready: bool = False
    trouble: str = ""  # why it is down, or what it waits for
