"""Candidates: versions that were published to be judged against the champion.

The terms are fixed at the publication, as a file of the version: how many days of readings that
neither model has seen decide, and the recipe. A candidate is judged once. One that proves better
becomes champion, with the evidence in the change; the verdict on another one is stored beside the
changes, so that it is not judged until it succeeds by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from eddycast.service.errors import RegistryError
from eddycast.service.sealing.manifest_types import Sha256

_Line = Annotated[str, StringConstraints(max_length=2_000)]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class Candidacy(_File):
    """The terms on which a version is judged, `candidacy.json` in its folder."""

    decide_after_ms: int = Field(gt=0)  # readings after the training of both models, at least
    asked: Mapping[str, Any]  # choices that were made for the training
    recipe: Mapping[str, Any]  # and all that followed from them
    findings: tuple[_Line, ...] = ()  # remarks on the data that it was trained on


class Verdict(_File):
    """The judgement of a version that did not become champion, `verdicts/HASH.json`."""

    version: Sha256
    label: _Line
    champion: Sha256  # that it was compared with
    change: int  # number of the change that made that champion
    who: _Line
    when: datetime
    why: _Line
    evidence: Mapping[str, Any]


_F = TypeVar("_F", bound=_File)


def verdicts_folder(model: str) -> str:
    """The folder of a model's verdicts."""
    return f"models/{model}/verdicts"


def parse_candidacy(name: str, content: bytes) -> Candidacy:
    """Parse the file `name`. Raises RegistryError if it is damaged."""
    return _parse(Candidacy, name, content)


def parse_verdict(name: str, content: bytes) -> Verdict:
    """Parse the file `name`. Raises RegistryError if it is damaged."""
    return _parse(Verdict, name, content)


def _parse(kind: type[_F], name: str, content: bytes) -> _F:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise RegistryError(
            f"{name} is damaged: {problem}", "bring the file back from a backup"
        ) from error
