"""Markers are declared in pyproject.toml; fixtures that every folder may use are registered here."""

from __future__ import annotations

import os

# Small products of matrices: a second thread only waits for the first, and takes a core from Kafka or another test.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.kafka", "tests.support.processes"]
