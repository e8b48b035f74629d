"""The output of `eddycast models`: facts about versions and changes, as text or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from eddycast.service.bundle import Manifest
from eddycast.service.errors import RegistryError
from eddycast.service.humanize import one_line, table_width
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.compatibility import check_core, check_shape, record_of
from eddycast.service.registry.registry import Registry
from eddycast.service.state.model_record import kept_parts

#: Fields of a manifest that are digests, long, or compared in another way.
_DETAILS = {"state", "parts", "files", "backtest", "training", "tools"}


def listing(registry: Registry) -> list[dict[str, Any]]:
    """One row per version, in the order of publication."""
    champions = [stored.change.champion for stored in registry.changes()]
    rows = []
    for version in registry.versions():
        manifest, origin = registry.manifest(version), registry.publication(version)
        role = "former" if version in champions else "candidate"
        rows.append(
            {
                "version": version[:12],
                "label": manifest.label,
                "family": manifest.family,
                "role": "champion" if champions[-1:] == [version] else role,
                "published": origin["when"],
                "by": origin["who"],
            }
        )
    return sorted(rows, key=lambda row: row["published"])


def changes(registry: Registry) -> list[dict[str, Any]]:
    """One row per change, oldest first."""
    return [_row(stored) for stored in registry.changes()]


def description(registry: Registry, version: str) -> dict[str, Any]:
    """Facts about one version."""
    manifest = registry.manifest(version)
    record = manifest.training.model_dump(mode="json") if manifest.training else {}
    facts = manifest.model_dump(mode="json", exclude=_DETAILS) | record
    origin = registry.publication(version)
    facts |= {"parts": {part.name: part.meaning for part in manifest.row_parts}}
    numbers = [s.change.number for s in registry.changes() if s.change.champion == version]
    return facts | {"published": origin["when"], "by": origin["who"], "champion_by": numbers}


def difference(registry: Registry, old: str, new: str) -> dict[str, Any]:
    """Parts of OLD's rows that NEW keeps, and fields in which they differ."""
    before, after = registry.manifest(old), registry.manifest(new)
    kept = kept_parts(record_of(before), record_of(after))
    parts = {part.name: "kept" if part.name in kept else "from zeros" for part in after.row_parts}
    gone = {p.name: "dropped" for p in before.row_parts if p.name not in parts}
    first, second = (one.model_dump(mode="json", exclude=_DETAILS) for one in (before, after))
    fields = {name: [first[name], second[name]] for name in first if first[name] != second[name]}
    return {"rows": _verdict(before, after), "parts": parts | gone, **fields}


def _verdict(before: Manifest, after: Manifest) -> str:
    try:
        check_core(before, after)
        check_shape(before, after)
    except RegistryError as error:
        return error.what
    return "can be promoted after it"


def say_change(stored: StoredChange, as_json: bool) -> None:
    """Print a change that was made."""
    change = stored.change
    text = f"{change.label} is the champion of {change.model} by change {change.number}"
    say(text, change.model_dump(mode="json"), as_json)


def say(text: str, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print one sentence, or the facts in it."""
    typer.echo(orjson.dumps(facts).decode() if as_json else text)


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print one object."""
    if as_json:
        typer.echo(orjson.dumps(facts).decode())
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {item}" for key, item in value.items())
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        typer.echo(f"{name:24}  {one_line(text)}")


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, name: str) -> None:
    """Print a table; as JSON one object that holds the rows under `name`."""
    if as_json:
        typer.echo(orjson.dumps({name: rows}).decode())
        return
    table = Table(*(rows[0] if rows else [f"no {name}"]), box=None, header_style="bold")
    for row in rows:
        table.add_row(*(one_line(str(value)) for value in row.values()))
    Console(width=table_width(), highlight=False, markup=False).print(table)


def _row(stored: StoredChange) -> dict[str, Any]:
    change = stored.change
    return {
        "number": change.number,
        "champion": change.label,
        "kind": change.kind,
        "who": change.who,
        "when": change.when.isoformat(),
        "why": change.why,
        "signed": change.signature.key[:12] if change.signature else "",
    }
