"""`eddycast bundle`: show and sign bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eddycast.service.humanize import one_line

bundle = typer.Typer(no_args_is_help=True, help="Show and sign bundles.")
Directory = Annotated[
    Path,
    typer.Argument(metavar="BUNDLE", help="A bundle's directory, as written by `eddycast train`."),
]


@bundle.command()
def keygen(
    key: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File for the private key; it must not exist yet."),
    ],
) -> None:
    """Generate a signing key, and print its public part for bundle.trusted_keys.

    Example: eddycast bundle keygen signing.key
    """
    from eddycast.service.sealing.signatures import new_key

    typer.echo(new_key(key))


@bundle.command()
def sign(
    directory: Directory,
    key: Annotated[Path, typer.Option(help="File with the private key.")],
) -> None:
    """Sign the current content of a bundle.

    Example: eddycast bundle sign /srv/bundle --key signing.key
    """
    from eddycast.service.bundle import MANIFEST
    from eddycast.service.model.manifest_file import read_manifest
    from eddycast.service.sealing.signatures import sign as signed

    manifest = read_manifest(directory)
    public = signed(directory / MANIFEST, key)
    typer.echo(f"{manifest.label} in {directory} is signed by {public}")


@bundle.command()
def show(directory: Directory) -> None:
    """Print the manifest of a bundle, after checking its hashes; the graphs are not run.

    Example: eddycast bundle show /srv/bundle
    """
    from eddycast.service.model.manifest_file import read_manifest

    manifest = read_manifest(directory)
    facts = manifest.model_dump(
        mode="json", exclude={"state", "parts", "files", "backtest", "training", "tools"}
    )
    record = manifest.training.model_dump(mode="json") if manifest.training else {}
    for name, value in (facts | record).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        typer.echo(f"{name:20}  {one_line(text)}")
