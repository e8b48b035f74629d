"""Command lines in processes of their own that kill themselves between two files of a registry."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

#: Processes are forked from one that has imported what takes long, and that has no threads.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["eddycast.service.__main__", "eddycast.training.retraining.run", "polars"]
)


class Kill(NamedTuple):
    """SIGKILL when a file gets its name: the first is number 1."""

    number: int
    after: bool  # it has its name already


def run_command(
    words: Sequence[str], kill: Kill | None = None, before: Callable[[], None] | None = None
) -> int:
    """Run a command of `eddycast`, after `before`, a function of a module; returns its exit code,
    -9 if it killed itself."""
    process = _PROCESSES.Process(target=_run, args=(list(words), kill, before))
    process.start()
    process.join()
    code = process.exitcode
    assert code is not None
    return code


def _run(words: list[str], kill: Kill | None, before: Callable[[], None] | None) -> None:
    from eddycast.service.__main__ import run

    if before is not None:
        before()
    if kill is not None:
        _kill_at(kill)
    os._exit(run(words))


def _kill_at(kill: Kill) -> None:
    link, made = os.link, [0]

    def deadly(*paths: Any) -> None:
        made[0] += 1
        if made[0] == kill.number and not kill.after:
            os.kill(os.getpid(), signal.SIGKILL)
        link(*paths)
        if made[0] == kill.number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.link = deadly  # type: ignore[assignment]
