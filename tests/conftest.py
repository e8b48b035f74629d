"""Markers are declared in pyproject.toml; fixtures that every folder may use are registered
here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Small products of matrices: a second thread only waits for the first,
# and takes a core from Kafka or another test.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example takes as long as the machine is busy: time is no property of the code under test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = [
    "tests.support.exported",
    "tests.support.kafka",
    "tests.support.mlflow",
    "tests.support.mosquitto",
    "tests.support.s3",
    "tests.support.schema_registry",
    "tests.support.secure",
    "tests.support.tokens",
    "tests.support.processes",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that none of them is what the others wait for at the
    end."""
    marks = ("kafka", "slow", "trains")
    long = {item.path for item in items if any(map(item.get_closest_marker, marks))}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that a test runs sends the log where it likes;
    the next test finds it as the first one did."""
    yield
    structlog.reset_defaults()
