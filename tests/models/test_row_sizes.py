"""The sizes of rows on docs/forecasters.md are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eddycast.training.models import (
    Forecaster,
    LatentAutoregression,
    LinearAutoregression,
    Mixture,
    Naive,
    SeasonalNaive,
    SequenceToSequence,
    Target,
)

PAGE = Path(__file__).parents[2] / "docs" / "forecasters.md"
HOURLY = Target(3_600_000, 24, tuple(level / 10 for level in range(1, 10)), 24)


def recurrent(cell: str) -> Forecaster:
    return LatentAutoregression(HOURLY, cell, LinearAutoregression(HOURLY))


def model_of(family: str) -> Forecaster:
    match family:
        case "naive":
            return Naive(HOURLY)
        case "seasonal_naive":
            return SeasonalNaive(HOURLY)
        case "ar":
            return LinearAutoregression(HOURLY)
        case "seq2seq":
            return SequenceToSequence(HOURLY, LinearAutoregression(HOURLY))
        case "mix":
            return Mixture([recurrent("lstm"), recurrent("dilated_gru")])
        case _:
            return recurrent(family)


def sizes() -> list[tuple[str, int]]:
    """Each family of the page's table with its size of a row."""
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \|[^|]*\|[^|]*\| ([\d,]+) \|", PAGE.read_text(), re.M
    )
    return [
        (family.strip("`"), int(size.replace(",", "")))
        for names, size in rows
        for family in names.split(", ")
    ]


def test_the_table_is_read() -> None:
    assert len(sizes()) == 9


@pytest.mark.parametrize(("family", "size"), sizes())
def test_the_page_has_the_size_of_a_row(family: str, size: int) -> None:
    state = model_of(family).initial_state(1)
    tensors = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert tensors == size
