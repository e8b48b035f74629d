"""`python -m tests.support.wrong_clock serve`: the service on a machine whose clock jumps back an
hour at SIGUSR1.

The one clock that may jump is `time.time`, so it is the one that is replaced;
time that only passes stays as it is.
"""

from __future__ import annotations

import signal
import time

right = time.time
behind_s = 0.0


def wrong() -> float:
    return right() - behind_s


def jump(*_: object) -> None:
    global behind_s
    behind_s = 3600.0


if __name__ == "__main__":
    time.time = wrong
    signal.signal(signal.SIGUSR1, jump)
    from eddycast.service.__main__ import main

    main()
