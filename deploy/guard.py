"""Child processes that cannot outlive the process that started them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Shell script that runs its arguments, and kills them when the writer of its standard input has
#: exited. It outlives signals to its group other than SIGKILL and ends with the exit code of its
#: arguments.
_GUARD = """
exec 3<&0
"$@" </dev/null &
child=$!
trap : TERM INT HUP  # only now: a child that is forked later could miss a signal before its exec
(trap '' TERM INT HUP; read -r _ <&3; kill -KILL $child) 2>/dev/null &
watch=$!
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
kill -KILL $watch 2>/dev/null
wait $watch 2>/dev/null
exit $code
"""


def start_guarded(
    command: Sequence[str],
    log: Path,
    *,
    held: int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own; its output is appended to `log`.

    Returns the guard, whose pid is that of the group. `held` is a file descriptor that every
    process of the group holds open. A ctrl-C in the terminal does not reach the group.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[held],
            env=dict(os.environ if environment is None else environment),
        )
