"""docs/cli.md: what `--help` of every command shows."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any

from typer.cli import get_docs_for_click
from typer.main import get_command

from eddycast.service.__main__ import GROUP, OWN, build_app, tidy_help
from tests.tools.markdown import WRITTEN

#: Every command of the program, those of the service first.
NAMES = (*OWN, *sorted(entry.name for entry in entry_points(group=GROUP)))

ABOUT = """\
Commands and their options, as `--help` lists them. Those that take the flags of `eddycast serve` \
take every setting as an option ([settings.md](settings.md)). `train`, `retrain`, `backtest` and \
`demo` need `pip install 'eddycast[train]'` (`demo` the extra `demo`), `monitor` needs \
`pip install 'eddycast[monitor]'`, `feed mqtt` and `feed http` the extras of their names; a \
command whose extra is missing names it.

`eddycast --version` prints the version. `eddycast --debug COMMAND` shows the stack trace of an \
error. A command that fails prints one line and ends with an exit code \
([errors.md](errors.md)).

## Completion

```
eddycast --install-completion     # of the shell that it is typed into: bash, zsh, fish, PowerShell
eddycast --show-completion        # prints the script instead
```

Open a new terminal afterwards. The tab key then completes commands, options and settings: after \
`--kafka.` it lists the settings of that group."""

#: What of typer's text is left out or written otherwise, in this order.
_CHANGES = (
    (re.compile(r"^\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?", re.M), ""),  # shortened; headings follow
    (re.compile(r"^\* `--help`.*\n", re.M), ""),
    (re.compile(r"^\*\*Options\*\*:\n\n(?!\*)", re.M), ""),  # now empty
    (re.compile(r"^Example: (.*)$", re.M), r"```\n\1\n```"),
    (re.compile(r"```console\n\$ "), "```\n"),
    (re.compile(r"\{([\w.]+)\}"), r"\1"),  # around the names of arguments
    (re.compile(r"\[default: \((.*)\)(?=[;\]])"), r"[default: \1"),
    (re.compile(r"` / --"), "`--"),
    (re.compile(r"\n{3,}"), "\n\n"),
)


def cli_page() -> str:
    """docs/cli.md."""
    parts = ["# Commands", WRITTEN, ABOUT, *map(_described, NAMES)]
    return "\n\n".join(parts) + "\n"


def _described(name: str) -> str:
    """The section of a command, and those of the commands below it, as typer writes them."""
    program: Any = get_command(build_app([name]))
    tidy_help(program)
    with program.make_context("eddycast", [], resilient_parsing=True) as context:
        text = get_docs_for_click(
            obj=program.commands[name], ctx=context, indent=1, name=name, call_prefix="eddycast"
        )
    for pattern, replacement in _CHANGES:
        text = pattern.sub(replacement, text)
    return text.strip()
