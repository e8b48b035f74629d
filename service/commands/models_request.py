"""Publications and promotions by the command line: author, moment, evidence, record in MLflow."""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eddycast.service.commands.mlflow_server import mlflow_server
from eddycast.service.errors import DataError
from eddycast.service.registry.promotion import Request
from eddycast.service.registry.registry import Registry


def made_request(
    who: str | None,
    why: str,
    expect: str | None,
    above: int,
    allow: bool,
    key: Path | None,
    evidence: Path | None = None,
) -> Request:
    """The request that these options of a command make. Raises DataError."""
    return Request(who or author(), now(), why, expect, above, allow, key, read_evidence(evidence))


def read_evidence(file: Path | None) -> dict[str, Any]:
    """The JSON object in a file; empty without a file. Raises DataError."""
    if file is None:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}", "name a JSON file") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} holds no JSON object", "write one object of names and figures")
    return found


def author() -> str:
    """The user and host of this process."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def now() -> datetime:
    """The present, to the second, UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def published(
    registry: Registry, directory: Path, who: str | None, mlflow: str | None
) -> tuple[str, dict[str, Any]]:
    """Publish a bundle and record it in the MLflow server at `mlflow`, if one is named; returns
    a line for people and the facts. Raises BundleError, RegistryError, MissingExtra."""
    manifest, is_new = registry.publish(directory, who or author(), now().isoformat())
    how = "was published" if is_new else "had been published before"
    facts = {"version": manifest.version, "label": manifest.label, "published": is_new}
    line = f"{manifest.label} {how} as a version of {registry.model}"
    if mlflow is None:
        return line, facts
    origin = registry.publication(manifest.version)
    tags = {"eddycast.published": origin["when"], "eddycast.by": origin["who"]}
    number = mlflow_server(mlflow).record_version(registry.model, manifest, tags)
    return f"{line}, version {number} in MLflow", facts | {"mlflow": number}
