"""Write a bundle's manifest.json, and read it with every file that it names verified. The fields
and their checks are those of `bundle.Manifest`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eddycast.service.bundle import (
    CONTRACT,
    FILE_LIMIT,
    FORECAST,
    GOLDEN,
    JUMP,
    MANIFEST,
    MANIFEST_LIMIT,
    STEP,
    Manifest,
)
from eddycast.service.errors import BundleError
from eddycast.service.sealing.bundle_files import read_file
from eddycast.service.sealing.trust import Trust

#: Fields of a training record that contain durations.
_DURATIONS = ("seconds", "choice")


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_version(files: dict[str, str]) -> str:
    """Return the version of a bundle of contract 1: sha256 over names and hashes of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def manifest_version(document: Mapping[str, Any]) -> str:
    """Return the version of a bundle of contract 2:
    sha256 over the manifest, which holds the file hashes.

    The version itself and the durations of training are left out,
    so that equal training gives equal versions.
    """
    content = {name: value for name, value in document.items() if name != "version"}
    if isinstance(record := content.get("training"), dict):
        content["training"] = {
            name: value for name, value in record.items() if name not in _DURATIONS
        }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(directory: Path, **fields: Any) -> Manifest:
    """Hash the other files of a bundle and write manifest.json from `fields`.

    `fields` are those of `Manifest` except `contract`, `version` and `files`.
    Raises BundleError if they violate the contract.
    """
    names = [STEP, FORECAST, GOLDEN] + [JUMP] * (directory / JUMP).exists()
    files = {name: sha256_of(directory / name) for name in names}
    try:
        manifest = Manifest(contract=CONTRACT, version="0" * 64, files=files, **fields)
    except ValidationError as error:
        raise BundleError(str(directory / MANIFEST), "a valid manifest", _first(error)) from error
    manifest = manifest.model_copy(
        update={"version": manifest_version(manifest.model_dump(mode="json"))}
    )
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(directory: Path, trust: Trust = Trust()) -> Manifest:  # noqa: B008 - frozen
    """Read manifest.json and verify the sha256 of every file that it names.

    Raises BundleError with the file, what was expected and what was found. `model/loading.py`
    verifies the graphs and replays golden.npz.
    """
    return read_bundle(directory, trust)[0]


def read_bundle(directory: Path, trust: Trust = Trust()) -> tuple[Manifest, dict[str, bytes]]:  # noqa: B008 - frozen
    """Read a bundle like `read_manifest` and also return the verified bytes of each file by name.

    Raises BundleError, also for a version or signer that `trust` does not allow.
    """
    path = directory / MANIFEST
    if not path.exists():
        raise BundleError(
            str(path),
            "a bundle's manifest",
            "no such file",
            "name a directory that `eddycast train` wrote",
        )
    content = read_file(path, MANIFEST_LIMIT)
    if trust.keys:
        # imports cryptography, seldom needed
        from eddycast.service.sealing.signatures import verify

        verify(path, content, trust.keys)
    manifest = _parsed(path, content)
    if not manifest.version.startswith(trust.version):
        action = "put that version back, or change bundle.version"
        raise BundleError(
            str(path),
            f"version {trust.version}",
            manifest.version[: max(12, len(trust.version))],
            action,
        )
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        file = directory / name
        contents[name] = read_file(file, FILE_LIMIT)
        if (found := hashlib.sha256(contents[name]).hexdigest()) != expected:
            raise BundleError(
                str(file),
                f"sha256 {expected[:12]}…",
                f"{found[:12]}…",
                "the bundle is damaged: copy it again",
            )
    return manifest, contents


def _parsed(path: Path, content: bytes) -> Manifest:
    """Parse a manifest and check that its version matches its content."""
    expected = f"a manifest of contract version 1 or {CONTRACT}"
    try:
        document = json.loads(content, object_pairs_hook=_each_once, parse_constant=_no_number)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(str(path), expected, _first(error)) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(str(path), expected, f"invalid JSON: {error}") from error
    version = (
        content_version(manifest.files) if manifest.contract == 1 else manifest_version(document)
    )
    if manifest.version != version:
        raise BundleError(
            str(path), f"version {version[:12]}…", f"{manifest.version[:12]}…: the file was changed"
        )
    return manifest


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("duplicate name")
    return document


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    found = (
        f", not {problem['input']!r:.60}" if isinstance(problem["input"], int | float | str) else ""
    )
    return f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}{found}"
