"""docs/errors.md: exit codes and the tree of errors, from `service/errors.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from eddycast.service import errors
from eddycast.service.errors import EddycastError
from tests.tools.markdown import WRITTEN, table

ABOUT = """\
A command that fails prints one line on standard error: where it went wrong, what was found, and \
in parentheses what to do. Its exit code is that of the error. `eddycast --debug COMMAND` shows \
the stack trace as well.

A running service waits for a broker that does not answer, and logs the reason every few seconds. \
Errors that waiting does not cure end it with the exit code, for whatever supervises it. Records \
that cannot be read end nothing: they become [dead letters](dead-letters.md)."""

#: Exit codes that belong to no class of errors.
OTHERS = {
    0: "done; a service that was stopped has committed what it had processed",
    1: "`eddycast doctor` has found a problem, or an unforeseen error with its stack trace",
    3: "`eddycast retrain` has not done what `--require` asks for",
    70: "the shutdown was cut short by a second signal or by `shutdown_timeout_s`; nothing is lost",
    130: "`eddycast simulate` was interrupted twice",
}
RETRIED = (
    "Retried errors are counted by `eddycast_retries_total` with their name as label; the work "
    "since the last commit is rolled back and repeated. The service gives up after "
    "`commit.give_up_s`."
)

_LINE = re.compile(r"^ *[│ ]*[├└]── (\w+) +(.+?)(?: \([^()]*\))?$", re.M)


def exit_codes() -> set[int]:
    """Every exit code of the program."""
    return {*OTHERS, *(kind.exit_code for kind, _ in every_error())}


def every_error() -> Iterator[tuple[type[EddycastError], str]]:
    """The classes of errors in the order of their tree, with their meanings."""
    for name, meaning in _LINE.findall(errors.__doc__ or ""):
        yield getattr(errors, name), meaning


def errors_page() -> str:
    """docs/errors.md."""
    parts = ["# Errors and exit codes", WRITTEN, ABOUT, "## Exit codes"]
    parts += [table(("code", "meaning"), _codes())]
    parts += ["## Errors", RETRIED]
    rows = [
        (
            f"`{kind.__name__}`",
            str(kind.exit_code),
            "yes" if kind.retriable else "",
            meaning,
            " ".join((kind.__doc__ or "").split()),
        )
        for kind, meaning in every_error()
    ]
    parts += [table(("error", "exit code", "retried", "meaning", "more"), rows)]
    return "\n\n".join(parts) + "\n"


def _codes() -> list[tuple[str, str]]:
    """Meanings by exit code: those of the errors just below the root of the tree."""
    meanings: dict[int, list[str]] = {code: [text] for code, text in OTHERS.items()}
    for kind, meaning in every_error():
        if kind.__base__ is EddycastError:
            meanings.setdefault(kind.exit_code, []).append(meaning)
    return [(str(code), "; ".join(texts)) for code, texts in sorted(meanings.items())]
