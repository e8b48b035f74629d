"""Public data sets, and files as people have them, that lie beside the repository (or where
SHARED_DATA points), not in it. Tests that need them are skipped without them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

SHARED = Path(os.environ.get("SHARED_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
CASES = SHARED.parent / "faults" / "cases"
Test = TypeVar("Test")
_ABSENT = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no data sets in {SHARED}")
_NO_CASES = pytest.mark.skipif(not CASES.is_dir(), reason=f"no files in {CASES}")


def needs_shared_data(test: Test) -> Test:
    """Mark a test (or a class of them) that reads from `SHARED`."""
    marked: Any = pytest.mark.shared_data(_ABSENT(test))
    return cast(Test, marked)


def needs_shared_cases(test: Test) -> Test:
    """Mark a test (or a class of them) that reads from `CASES`."""
    marked: Any = pytest.mark.shared_data(_NO_CASES(test))
    return cast(Test, marked)
