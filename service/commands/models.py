"""`eddycast models`: publish, promote and inspect the models of a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eddycast.service.commands.models_compare import compare
from eddycast.service.commands.settings_help import TAKES_SETTINGS, SettingsHelp
from eddycast.service.errors import SettingsError
from eddycast.service.settings.load import load_settings

if TYPE_CHECKING:
    from eddycast.service.registry.registry import Registry

models = typer.Typer(no_args_is_help=True, help="Publish, promote, inspect and compare models.")
_COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}

Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="Six or more digits of a version; must precede all settings."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Why = Annotated[str, typer.Option(help="Reason, stored with the change.", show_default="none")]
Who = Annotated[
    str | None, typer.Option(help="Author of the change.", show_default="user and host")
]
Expect = Annotated[
    str | None,
    typer.Option(help="Refuse unless this version is the champion.", show_default="any champion"),
]
Allow = Annotated[
    bool,
    typer.Option(
        "--allow-output-change", help="Accept other targets, horizon or quantiles in forecasts."
    ),
]
Key = Annotated[
    Path | None, typer.Option(help="Sign the change with this private key.", show_default="none")
]


@models.command("list", **_COMMAND)
def list_versions(
    context: typer.Context,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001 - the name of the flag
) -> None:
    """List all versions, and which of them is or was champion.

    Example: eddycast models list --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import listing, print_rows

    print_rows(listing(_registry(context)), as_json, "versions")


@models.command(**_COMMAND)
def show(
    context: typer.Context,
    version: Version,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Show the manifest of a version and who published it.

    Example: eddycast models show 3f9a1c --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import description, print_facts

    registry = _registry(context, version)
    print_facts(description(registry, registry.resolve(version)), as_json)


@models.command(**_COMMAND)
def publish(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory; precedes all settings.")
    ],
    who: Who = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Record the version, its figures and tags in this MLflow server as well.",
            show_default="none",
        ),
    ] = None,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Verify a bundle, replay included, and copy it into the registry. Nothing is promoted.

    Example: eddycast models publish bundle --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import say
    from eddycast.service.commands.models_request import published

    line, facts = published(_registry(context, str(directory)), directory, who, mlflow)
    say(line, facts, as_json)


@models.command(**_COMMAND)
def promote(
    context: typer.Context,
    version: Version,
    why: Why = "",
    who: Who = None,
    expect: Expect = None,
    evidence: Annotated[
        Path | None, typer.Option(help="JSON file stored with the change.", show_default="none")
    ] = None,
    above: Annotated[
        int,
        typer.Option(
            min=0, help="Give the change a larger number than this, after a restored backup."
        ),
    ] = 0,
    allow: Allow = False,
    key: Key = None,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Make a version the champion, after proving that it can take over the rows of the present
    one. Services that follow the registry switch within seconds.

    Example: eddycast models promote 3f9a1c --why "better on March" --registry.url /srv/models
    --registry.model load
    """
    from eddycast.service.commands.models_output import say_change
    from eddycast.service.commands.models_request import made_request
    from eddycast.service.registry.promotion import promote as promoted

    registry = _registry(context, version)
    request = made_request(who, why, expect, above, allow, key, evidence)
    say_change(promoted(registry, registry.resolve(version), request), as_json)


@models.command(**_COMMAND)
def rollback(
    context: typer.Context,
    to: Annotated[
        str | None, typer.Option(help="Version to return to.", show_default="the champion before")
    ] = None,
    why: Why = "",
    who: Who = None,
    expect: Expect = None,
    allow: Allow = False,
    key: Key = None,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Make the former champion the champion again: a new change, with a new number.

    Example: eddycast models rollback --why "alarms" --registry.url /srv/models
    --registry.model load
    """
    from eddycast.service.commands.models_output import say_change
    from eddycast.service.commands.models_request import made_request
    from eddycast.service.registry.promotion import former_champion
    from eddycast.service.registry.promotion import promote as promoted

    registry = _registry(context)
    version = registry.resolve(to) if to else former_champion(registry)
    request = made_request(who, why, expect, 0, allow, key)
    say_change(promoted(registry, version, request, "rollback"), as_json)


@models.command(**_COMMAND)
def history(context: typer.Context, as_json: Json = False, help: SettingsHelp = False) -> None:  # noqa: A002, ARG001
    """List all changes, oldest first: number, champion, who, when and why.

    Example: eddycast models history --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import changes, print_rows

    print_rows(changes(_registry(context)), as_json, "changes")


@models.command(**_COMMAND)
def diff(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A version; precedes all settings.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A version; precedes all settings.")],
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Compare two versions: what NEW would keep of the rows of OLD, and what their manifests differ
    in.

    Example: eddycast models diff 3f9a1c 77ab02 --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import difference, print_facts

    registry = _registry(context, old, new)
    print_facts(difference(registry, registry.resolve(old), registry.resolve(new)), as_json)


@models.command(**_COMMAND)
def prune(
    context: typer.Context,
    keep: Annotated[
        int, typer.Option(min=1, help="Keep the champions of this many last changes.")
    ] = 10,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Delete versions that never were champion, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted, and delete nothing.")
    ] = False,
    as_json: Json = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Delete old versions. The champion and all changes are always kept.

    Example: eddycast models prune --keep 5 --registry.url /srv/models --registry.model load
    """
    from eddycast.service.commands.models_output import say
    from eddycast.service.registry.pruning import prunable

    registry = _registry(context)
    found = prunable(registry, keep, candidates)
    for version in () if dry_run else found:
        registry.delete(version)
    how = "would be deleted" if dry_run else "deleted"
    named = f": {', '.join(version[:12] for version in found)}" if found else ""
    say(f"{len(found)} versions {how}{named}", {"versions": found, "deleted": not dry_run}, as_json)


models.command(**_COMMAND)(compare)


def _registry(context: typer.Context, *arguments: str) -> Registry:
    """The registry that the flags after the arguments name. Raises SettingsError."""
    for argument in arguments:
        if argument.startswith("--"):
            raise SettingsError(
                f"{argument} is in place of an argument", "write settings after all arguments"
            )
    settings = load_settings(context.args)
    # slow to import (onnxruntime): after the flags are checked
    from eddycast.service.registry.registry import open_registry

    return open_registry(settings)
