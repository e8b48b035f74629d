"""`eddycast bundle`: what a bundle is, and who answers for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.humanize import one_line

bundle = typer.Typer(no_args_is_help=True, help="Show and sign bundles.")
Directory = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A directory that `eddycast train` wrote.")]


@bundle.command()
def keygen(
    key: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes; it must not exist yet.")],
) -> None:
    """Make a key to sign bundles with, and print its public part for bundle.trusted_keys."""
    from service.sealing.signing import new_key

    typer.echo(new_key(key))


@bundle.command()
def sign(
    directory: Directory,
    key: Annotated[Path, typer.Option(help="The file with the private key.")],
) -> None:
    """Sign a bundle: everything in it, as it is now."""
    from service.bundle import MANIFEST
    from service.model.manifest_file import read_manifest
    from service.sealing.signing import sign as signed

    manifest = read_manifest(directory)
    public = signed(directory / MANIFEST, key)
    typer.echo(f"{manifest.label} in {directory} is signed by {public}")


@bundle.command()
def show(directory: Directory) -> None:
    """Print what the manifest says; verifies hashes, and runs nothing."""
    from service.model.manifest_file import read_manifest

    manifest = read_manifest(directory)
    facts = manifest.model_dump(mode="json", exclude={"state", "parts", "files", "backtest", "training", "tools"})
    record = manifest.training.model_dump(mode="json") if manifest.training else {}
    for name, value in (facts | record).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        typer.echo(f"{name:20}  {one_line(text)}")
