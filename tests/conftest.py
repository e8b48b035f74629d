"""Markers are declared in pyproject.toml; fixtures that every folder may use are registered here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

# Small products of matrices: a second thread only waits for the first, and takes a core from Kafka or another test.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.kafka", "tests.support.secure", "tests.support.processes"]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that a test runs sends the log where it likes; the next test finds it as the first one did."""
    yield
    structlog.reset_defaults()
