"""The schemas of docs/schemas/, ready to validate."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from tests.tools.docs import ROOT

SCHEMAS = ROOT / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    """A schema as it is written; it is valid itself."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(found)
    return found


def validator(name: str) -> Draft202012Validator:
    """A validator of documents."""
    return Draft202012Validator(schema(name))
