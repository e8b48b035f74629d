"""Author, moment and evidence of a promotion by the command line."""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eddycast.service.errors import DataError
from eddycast.service.registry.promotion import Request


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
