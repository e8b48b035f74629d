"""The battery's own asserts explain themselves too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.broker.battery",
    "tests.broker.battery_groups",
    "tests.broker.battery_readers",
    "tests.broker.battery_transactions",
)
