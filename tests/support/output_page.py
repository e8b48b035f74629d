"""The recipes of docs/output.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from tests.tools.docs import ROOT

PAGE = (ROOT / "docs" / "output.md").read_text()


def fences(language: str) -> list[str]:
    """Blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def due_times_of_the_page() -> Callable[[dict[str, Any]], list[int]]:
    """The function of the first block in Python."""
    names: dict[str, Any] = {}
    exec(fences("python")[0], names)
    found: Callable[[dict[str, Any]], list[int]] = names["due_times"]
    return found


def encoded(records: Iterable[dict[str, Any]]) -> list[bytes | None]:
    """Values of records."""
    return [json.dumps(record).encode() for record in records]
