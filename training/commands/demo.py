"""`eddycast demo`: the whole path on real sensor data."""

from __future__ import annotations

from typing import Annotated

from eddycast.service.commands.expand import expand_options
from eddycast.training.demo.options import DemoOptions


@expand_options
def demo(options: Annotated[DemoOptions, "Demo"]) -> None:
    """Train on real sensor data, publish the bundle, stream the hold-out through the service,
    and score the forecasts.

    Example: eddycast demo --family gru --seconds 30
    """
    from eddycast.training.demo.run import run_demo

    run_demo(options)
