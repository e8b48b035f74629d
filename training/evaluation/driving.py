"""A pass of a bundle over history, by the service's own engine: all observations once, in time
order, so that the state is carried from the first row to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from eddycast.service.history.merging import merge
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.replay import replay
from eddycast.service.records import Int64
from eddycast.service.state.arena import Arena
from eddycast.training.data.panel import Panel
from eddycast.training.evaluation.protocols.scoring import Chunk

#: Callable (readings done, readings in total).
ScoringProgress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """Ignore the progress."""


def drive(
    runtime: Runtime,
    panel: Panel,
    origins: Int64,
    report: ScoringProgress = no_progress,
    arena: Arena | None = None,
) -> Iterator[Chunk]:
    """Run all readings of a panel through the engine in time order; yield the forecasts at the rows
    `origins`, a chunk for each target, with the streams of `target_streams`. Starts from the rows
    of `arena`, which are updated, or from streams never seen."""
    readings = merge(panel.history())
    names = [name.encode() for name in readings.streams]
    index = np.array(
        [panel.streams.index(name) // panel.width for name in readings.streams], np.int64
    )
    targets = range(len(runtime.manifest.targets))
    rows = (readings.timestamps - panel.timestamps[0]) // panel.interval_ms
    due, done = np.isin(rows, origins), 0
    for chunk in replay(
        runtime,
        names,
        readings.timestamps,
        readings.values,
        readings.stream,
        forecast_at=due,
        arena=arena,
    ):
        made = chunk.forecasts.has_multi
        which = chunk.index[made]
        stream, forecasts = index[readings.stream[which]] * len(targets), chunk.forecasts
        for target in targets:
            one_step, multi_step = (
                forecasts.one_step[made, target],
                forecasts.multi_step[made, :, target],
            )
            yield Chunk(stream + target, rows[which], one_step, multi_step)
        done += len(chunk.records)
        report(done, len(readings))
