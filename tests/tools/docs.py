"""Docs that name nothing that does not exist. `python -m tests.tools.docs [--write]`,
from the repository's root.

What stands in backticks or code blocks of README.md and docs/ is looked at:

    a path          service/app.py, docs/design.md    is a file or directory, or ignored by git
    a make target   make demo                         is in the Makefile
    a command line  eddycast train DATA --family gru  is a command, and so is each of its options
    a setting       kafka.linger_ms, EDDYCAST_...     is in the settings
    a metric        eddycast_records_total            is in the metrics
    a link          [text](docs/design.md#delivery)   leads to a file, and to a heading in it
    an exit code    exit code 5                       belongs to an error

Every page is in the navigation of the site (`zensical.toml`). Pages that follow from the code must
be what the code says; `--write` writes them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from eddycast.service.__main__ import build_app
from eddycast.service.settings.load import CONFIG
from eddycast.service.settings.settings import PREFIX, Settings, every_setting
from tests.tools.errors_page import exit_codes
from tests.tools.pages import PAGES, every_metric

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.S | re.M)
_PATH = re.compile(
    r"(?<![\w./-])((?:service|training|deploy|tests|docs|\.ci)/[\w./*-]*[\w*/]|[\w-]+\.(?:md|toml|yml|txt))(?![\w/])"
)
_LINK = re.compile(r"\]\(([^)#\s]*)#?([^)\s]*)[^)]*\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_EXIT_CODE = re.compile(r"\bexit(?:s with)?(?: codes?)? (\d+)\b", re.I)
_BUILT = ("build/", "dist/", ".venv/")
_GROUPS = {
    name
    for name, field in Settings.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}


def problems(root: Path = ROOT) -> Iterator[str]:
    """Everything that is wrong, one line each."""
    yield from stale(root)
    yield from unlisted(root)
    for path in [
        root / "README.md",
        root / "CHANGELOG.md",
        root / "CONTRIBUTING.md",
        *sorted((root / "docs").rglob("*.md")),
    ]:
        for line in check(path.read_text(), root, path.parent):
            yield f"{path.relative_to(root)}: {line}"


def stale(root: Path) -> Iterator[str]:
    """Pages that should follow from the code and do not."""
    for name, page in PAGES.items():
        path = root / name
        if not path.is_file() or path.read_text() != page():
            yield f"{name}: not what the code says; run `make docs`"


def unlisted(root: Path) -> Iterator[str]:
    """Pages that the site's navigation lacks, and those that it lists and that do not exist."""
    site = tomllib.loads((root / "zensical.toml").read_text())
    listed = set(re.findall(r"[\w/-]+\.md", str(site["project"]["nav"])))
    pages = {path.relative_to(root / "docs").as_posix() for path in (root / "docs").rglob("*.md")}
    for name in sorted(pages - listed):
        yield f"docs/{name}: not in the navigation of zensical.toml"
    for name in sorted(listed - pages):
        yield f"docs/{name}: in the navigation of zensical.toml, and does not exist"


def check(text: str, root: Path, directory: Path) -> Iterator[str]:
    """The names in `text`, a page in `directory`, that do not exist."""
    for target, anchor in _LINK.findall(text):
        yield from _link(target, anchor, text, directory)
    for code in set(_EXIT_CODE.findall(text)):
        if int(code) not in exit_codes():
            yield f"exit code {code} does not exist"
    codes = [code.replace("\\\n", " ") for code in _FENCE.findall(text)]
    codes += re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    for code in dict.fromkeys(codes):
        for look in (_paths, _targets, _commands, _settings, _variables, _metrics):
            yield from look(code, root)


def _link(target: str, anchor: str, text: str, directory: Path) -> Iterator[str]:
    if "://" in target:
        return
    path = directory / target
    if not path.exists():
        yield f"link to {target}, which does not exist"
    elif anchor and anchor not in anchors(path.read_text() if target else text):
        yield f"link to {target}#{anchor}, a heading that does not exist"


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\s-]", "", each).strip().lower().replace(" ", "-") for each in headings}


def _paths(code: str, root: Path) -> Iterator[str]:
    for name in _PATH.findall(code):
        found = any(root.glob(name)) if "*" in name else (root / name).exists()
        if not found and not any(root.glob(f"docs/{name}")) and not f"{name}/".startswith(_BUILT):
            yield f"path {name} does not exist"


def _targets(code: str, root: Path) -> Iterator[str]:
    known = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.M))
    for name in re.findall(r"(?:^|[\n$;&] *)make ([a-z]+)", code):
        if name not in known:
            yield f"make target {name} does not exist"


def _commands(code: str, root: Path) -> Iterator[str]:
    for line in re.findall(r"(?:^|[\n$;&/] *)eddycast ([a-z][a-z-]*[^\n|;&>#]*)", code):
        name, second = (
            re.findall(r"^([a-z][a-z-]*),?(?: ([a-z]+(?:, ?[a-z]+)*))?", line) or [("", "")]
        )[0]
        options = _options(name, second.replace(" ", ""))
        if options is None:
            yield f"command `eddycast {name} {second}".rstrip() + "` does not exist"
            continue
        for flag in re.findall(r"(?<!\S)(--[\w.-]+)", line):
            if flag not in options:
                yield f"option {flag} of `eddycast {name}` does not exist"


def _settings(code: str, root: Path) -> Iterator[str]:
    known = {setting.name for setting in every_setting()}
    for group, name in re.findall(r"(?:^|--|[\s,(])([a-z]+)\.([a-z_]+)(?=$|[\s,)=])", code):
        if (
            group in _GROUPS
            and f"{group}.{name}" not in known
            and not (root / "service" / f"{group}.{name}").exists()
        ):
            yield f"setting {group}.{name} does not exist"


def _variables(code: str, root: Path) -> Iterator[str]:
    known = {CONFIG, PREFIX} | {setting.variable for setting in every_setting()}
    for name in re.findall(r"EDDYCAST_\w*", code):
        if name not in known:
            yield f"variable {name} does not exist"


def _metrics(code: str, root: Path) -> Iterator[str]:
    known = {line.name for line in every_metric()}
    for name in re.findall(r"\beddycast_\w+", code):
        if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known:
            yield f"metric {name} does not exist"


@cache
def _options(name: str, second: str) -> frozenset[str] | None:
    """The options of a command, with those of the program; None if there is no such command. Of a
    group of commands it is `second`; several with commas between have the options of all."""
    program: Any = typer.main.get_command(build_app([name]))
    with program.make_context("eddycast", [name], resilient_parsing=True) as context:
        command = program.get_command(context, name)
        if command is None:
            return None
        commands = getattr(command, "commands", None)
        if commands is None:
            return _own(command)
        chosen = (
            [commands.get(word) for word in second.split(",")]
            if second
            else list(commands.values())
        )
        return None if None in chosen else frozenset().union(*map(_own, chosen))


def _own(command: Any) -> frozenset[str]:
    own = {
        flag
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }
    if command.context_settings.get("allow_extra_args"):
        own |= {f"--{setting.name}" for setting in every_setting()} | {"--config"}
    return frozenset(own | {"--help"})


def main(arguments: list[str]) -> int:
    """Check, or write what follows from the code and then check;
    the number of problems decides the exit code."""
    if "--write" in arguments:
        for name, page in PAGES.items():
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(page())
    found = list(problems())
    print("\n".join(found) or "docs: nothing named that does not exist")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
