"""Every example of docs/input.md is read as the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from eddycast.service.formats.json_observation import iso
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Reading, Record, Refused
from eddycast.service.mapping.presets import FORMATS, PRESETS
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.input import InputSettings

PAGE = (Path(__file__).parents[2] / "docs" / "input.md").read_text()
NOW = 1_700_000_000_000


class Example(NamedTuple):
    title: str
    record: Record
    settings: InputSettings
    expected: list[list[str]]


def _example(section: str) -> Example:
    title, _, text = section.partition("\n")
    record, settings, readings = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    key = re.search(r"key `([^`]+)`", text)
    headers = [
        (name, value.encode()) for name, value in re.findall(r"header `(\w+): ([^`]+)`", text)
    ]
    return Example(
        title,
        Record("t", key and key[1].encode(), record.strip().encode(), headers, NOW, LAST_TIMESTAMP),
        InputSettings.model_validate(tomllib.loads(settings)["input"]),
        [re.split(r"\s{2,}", line) for line in readings.strip().splitlines()],
    )


EXAMPLES = [_example(section) for section in PAGE.partition("## Settings")[0].split("\n### ")[1:]]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.title for example in EXAMPLES])
def test_an_example_makes_these_readings(example: Example) -> None:
    width = example.settings.width
    outcomes = Mapping(example.settings, width).read(example.record)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    found = [
        [
            outcome.stream.decode(),
            iso(outcome.timestamp),
            ", ".join("missing" if v != v else f"{v:g}" for v in outcome.values),
        ]
        for outcome in outcomes
        if isinstance(outcome, Reading)
    ]
    assert found == example.expected
    MappedDecoder(example.settings, width)


def test_the_page_has_enough_examples_and_names_everything() -> None:
    assert len(EXAMPLES) >= 10
    settings = PAGE.partition("## Settings")[2]
    for name in (*PRESETS, *FORMATS):
        assert f"`{name}`" in settings
    for name in InputSettings.model_fields:
        assert f"input.{name}" in settings
