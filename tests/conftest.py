"""Markers are declared in pyproject.toml; fixtures that every folder may use are registered here."""

from __future__ import annotations

pytest_plugins = ["tests.support.kafka"]
