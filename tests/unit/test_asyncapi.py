"""docs/schemas/asyncapi.yaml names the topics of the settings and the schemas beside it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
import yaml
from jsonschema import Draft202012Validator

from eddycast.service.settings.settings import Settings
from tests.support.schemas import SCHEMAS
from tests.tools.docs import ROOT

PAGE: dict[str, Any] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text())
MESSAGES: dict[str, Any] = PAGE["components"]["messages"]


def at(pointer: str) -> Any:
    """Target of a reference inside the document or to a file beside it."""
    file, _, path = pointer.partition("#/")
    found: Any = json.loads((SCHEMAS / file).read_text()) if file else PAGE
    for part in filter(None, path.split("/")):
        found = found[part]
    return found


def references(node: Any) -> Iterator[str]:
    """Every reference below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_leads_somewhere_and_every_message_and_schema_is_used() -> None:
    found = set(references(PAGE))
    assert all(at(pointer) for pointer in found)
    assert {f"#/components/messages/{name}" for name in MESSAGES} <= found
    assert {path.name for path in SCHEMAS.glob("*.json")} <= found


def test_the_document_has_the_parts_of_asyncapi_3() -> None:
    assert PAGE["asyncapi"] == "3.0.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert PAGE["info"]["version"] == project["version"]
    for operation in PAGE["operations"].values():
        assert operation.keys() <= {"action", "channel", "title", "summary", "messages"}
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
    used = {operation["channel"]["$ref"] for operation in PAGE["operations"].values()}
    assert used == {f"#/channels/{name}" for name in PAGE["channels"]}
    for message in MESSAGES.values():
        assert message.keys() <= {
            "title", "summary", "contentType", "payload", "headers", "bindings", "examples",
        }  # fmt: skip


def test_the_addresses_are_the_topics_of_the_settings() -> None:
    settings = Settings()
    for channel in PAGE["channels"].values():
        group, _, name = channel["title"].partition(".")
        topic = getattr(getattr(settings, group), name)
        expected = settings.changelog if channel["title"] == "topics.changelog" else topic
        assert channel["address"] == expected


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_are_valid(name: str) -> None:
    message = MESSAGES[name]
    payload = message["payload"]
    described = at(payload["schema"]["$ref"]) if "schema" in payload else payload
    if "avro" in payload.get("schemaFormat", ""):
        fastavro.parse_schema(described)
        return
    Draft202012Validator.check_schema(described)
    for example in message.get("examples", []):
        Draft202012Validator(described).validate(example["payload"])


def test_the_example_of_a_forecast_is_that_of_the_page() -> None:
    (example,) = MESSAGES["forecast"]["examples"]
    page = (ROOT / "docs" / "output.md").read_text()
    shown, _ = json.JSONDecoder().raw_decode(page, page.index('{"stream":"boiler-7"'))
    assert example["payload"] == shown
