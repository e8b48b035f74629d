"""Write a bundle's manifest.json, and read it with every file that it names verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.bundle import CONTRACT, FILE_LIMIT, FORECAST, GOLDEN, MANIFEST, MANIFEST_LIMIT, STEP, Manifest
from service.errors import BundleError
from service.sealing.bundle_files import read_file
from service.sealing.trust import Trust

#: What a training record says of times.
_TOOK = ("seconds", "choice")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_version(files: dict[str, str]) -> str:
    """The version of a bundle of contract 1: sha256 over the names and hashes of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def manifest_version(document: Mapping[str, Any]) -> str:
    """The version since contract 2: sha256 over everything that the manifest says, the hashes of the files included.
    Left out are the version itself, and how long training took and each family in it: the same training has the same
    version."""
    said = {name: value for name, value in document.items() if name != "version"}
    if isinstance(record := said.get("training"), dict):
        said["training"] = {name: value for name, value in record.items() if name not in _TOOK}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_manifest(directory: Path, **fields: Any) -> Manifest:
    """Seal a bundle: hash the three files beside it, then write manifest.json from `fields`.

    `fields` are the manifest's, without `contract`, `version` and `files`. Raises BundleError if they break
    the contract.
    """
    files = {name: sha256_of(directory / name) for name in (STEP, FORECAST, GOLDEN)}
    try:
        manifest = Manifest(contract=CONTRACT, version="0" * 64, files=files, **fields)
    except ValidationError as error:
        raise BundleError(str(directory / MANIFEST), "a valid manifest", _first(error)) from error
    manifest = manifest.model_copy(update={"version": manifest_version(manifest.model_dump(mode="json"))})
    (directory / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(directory: Path, trust: Trust = Trust()) -> Manifest:  # noqa: B008 - frozen
    """Read and verify `manifest.json` and the sha256 of every file it names.

    Raises BundleError with the file, what was expected and what was found. The graphs themselves are
    verified by `model/runtime.py`, which also replays golden.npz.
    """
    return read_bundle(directory, trust)[0]


def read_bundle(directory: Path, trust: Trust = Trust()) -> tuple[Manifest, dict[str, bytes]]:  # noqa: B008 - frozen
    """The manifest as `read_manifest` verifies it, and the bytes of each file that were verified with it. Raises
    BundleError, also for a version and a signer that `trust` does not name."""
    path = directory / MANIFEST
    if not path.exists():
        raise BundleError(
            str(path), "a bundle's manifest", "no such file", "name a directory that `eddycast train` wrote"
        )
    content = read_file(path, MANIFEST_LIMIT)
    if trust.keys:
        from service.sealing.signing import verify  # cryptography is not needed otherwise

        verify(path, content, trust.keys)
    manifest = _parsed(path, content)
    if not manifest.version.startswith(trust.version):
        action = "put that version back, or change bundle.version"
        raise BundleError(
            str(path), f"version {trust.version}", manifest.version[: max(12, len(trust.version))], action
        )
    contents: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        file = directory / name
        contents[name] = read_file(file, FILE_LIMIT)
        if (found := hashlib.sha256(contents[name]).hexdigest()) != expected:
            raise BundleError(
                str(file), f"sha256 {expected[:12]}…", f"{found[:12]}…", "copy the bundle again, it is damaged"
            )
    return manifest, contents


def _parsed(path: Path, content: bytes) -> Manifest:
    """The manifest, whose version is that of its content."""
    expected = f"a manifest of contract version 1 or {CONTRACT}"
    try:
        document = json.loads(content, object_pairs_hook=_each_once, parse_constant=_no_number)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(str(path), expected, _first(error)) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(str(path), expected, f"no JSON: {error}") from error
    version = content_version(manifest.files) if manifest.contract == 1 else manifest_version(document)
    if manifest.version != version:
        raise BundleError(str(path), f"version {version[:12]}…", f"{manifest.version[:12]}…: it was changed since")
    return manifest


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name comes twice")
    return document


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    found = f", not {problem['input']!r:.60}" if isinstance(problem["input"], int | float | str) else ""
    return f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}{found}"
