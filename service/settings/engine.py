"""Settings of the graph calls."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from eddycast.service.settings.group import Group


class EngineSettings(Group):
    """Execution of the graphs."""

    forecast_every: PositiveInt = Field(
        1, description="Make a multi-step forecast for every n-th observation of a stream"
    )
    max_batch: PositiveInt = Field(512, description="Maximum number of rows in one graph call")
    intra_op_threads: PositiveInt = Field(1, description="Number of threads inside one graph call")
