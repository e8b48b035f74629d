"""A change of the champion: one immutable file, `models/NAME/changes/NNNNNNNN.json`.

The newest file is the state, and its `number` is the generation under which services serve its
champion. A file is named by the number after its predecessor's, so that two promotions at once
compete for one name. `number` is larger than the name only after `promote --above`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from eddycast.service.errors import BundleError, RegistryError
from eddycast.service.sealing.manifest_types import ModelName, Sha256
from eddycast.service.sealing.signatures import Signature, check_signature

#: Largest number: generations are unsigned 32-bit integers in rows and markers.
MOST: Final = (1 << 32) - 2
_Line = Annotated[str, StringConstraints(max_length=2_000)]


class Change(BaseModel):
    """One change of a model's champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    model: ModelName  # name in the registry
    number: int = Field(gt=0, le=MOST)  # the generation
    champion: Sha256  # version
    label: _Line  # of the champion, as in forecasts
    predecessor: Sha256 | None  # sha256 of the change before it; None for the first one
    expected: Sha256 | None  # champion that this change replaces
    kind: Literal["promote", "rollback"] = "promote"
    who: _Line
    when: datetime
    why: _Line = ""
    evidence: dict[str, Any] = {}
    allows_output_change: bool = False
    nonce: _Line  # makes equal changes by two processes different
    signature: Signature | None = None

    @property
    def sealed(self) -> str:
        """Sha256 of everything but the signature, which signs it."""
        content = self.model_dump(mode="json", exclude={"signature"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return (self.model_dump_json(indent=2) + "\n").encode()


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A change as found in a registry."""

    name: str  # of its file
    change: Change
    content: bytes  # of its file

    @property
    def digest(self) -> str:
        """Sha256 of the file."""
        return hashlib.sha256(self.content).hexdigest()


def parse_change(name: str, content: bytes, keys: tuple[str, ...]) -> StoredChange:
    """Parse and check the file `name` of a change.

    Raises RegistryError if it is damaged, belongs elsewhere, or, where `keys` are given, is not
    signed by one of them.
    """
    try:
        change = Change.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise _damaged(name, f"{where}: {problem['msg']}" if where else problem["msg"]) from error
    if change.number < number_of(name) or f"/{change.model}/" not in f"/{name}":
        raise _damaged(name, f"it holds change {change.number} of {change.model}")
    if keys:
        try:
            check_signature(name, change.sealed, change.signature, keys)
        except BundleError as error:
            raise RegistryError(error.what, "promote with --key, or see bundle.trusted_keys") from (
                error
            )
    return StoredChange(name, change, content)


def number_of(name: str) -> int:
    """The number in a change's file name."""
    return int(name.rpartition("/")[2].removesuffix(".json"))


def _damaged(name: str, why: str) -> RegistryError:
    return RegistryError(
        f"{name} is damaged: {why}", "bring the file back from a backup; services keep their model"
    )
