"""`book`: the autoregression of "Dive into Deep Learning", Working with Sequences.

Of 1000 values the first 600 examples of 64 lags teach. Scored is the mean squared error of the
median exactly k steps ahead, at every origin whose target comes after them, and of a free run: from
the last value of the train part on, every next value is fed back as if it had been observed.

The hold-out starts after the 600 examples. A training that needs a validation part takes it from
the rows behind them: `--split 664,128,208`, which is fair for `ar --iterated` alone, whose median
follows from the train part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eddycast.service.errors import DataError
from eddycast.service.model.runtime import Runtime, TensorState
from eddycast.service.records import Float64, Int64
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.metrics import mase_scales
from eddycast.training.evaluation.protocols.scoring import Chunk
from eddycast.training.evaluation.protocols.task import Source, Task, TaskOptions, check_split

LAGS, EXAMPLES, ROWS = 64, 600, 1000
KNOWN = EXAMPLES + LAGS  # rows
BOOK_SPLIT = f"{KNOWN - 128},128,{ROWS - KNOWN}"
LEADS = (1, 4, 16, 64)


def book_tasks(panel: Panel, ask: TaskOptions) -> list[Task]:
    """A task for each k that the bundle reaches, and the free run to the end of the hold-out."""
    if ask.stride > 1 or len(panel.streams) > 1 or panel.channels:
        raise DataError(
            "book scores one stream of one channel, forecast on its own grid",
            "give DATA of one stream and one channel",
        )
    split = ask.split or Split.parse(BOOK_SPLIT, len(panel))
    check_split(panel, split)
    leads = [lead for lead in ask.horizons or LEADS if lead <= ask.horizon]
    known = split.validation_end
    tasks = [
        _task(panel, split, f"k = {k}", np.arange(known - k, split.end - k), np.array([k]))
        for k in leads
    ]
    run = np.arange(1, split.end - known + 1)
    return [*tasks, _task(panel, split, "free run", np.array([known - 1]), run, "fed_back")]


def _task(
    panel: Panel,
    split: Split,
    label: str,
    origins: Int64,
    ahead: Int64,
    source: Source = "multi_step",
) -> Task:
    values = panel.values[:, : split.end]
    scales = mase_scales(values[:, : split.validation_end], 1)
    return Task(
        label=label,
        panel=panel,
        values=values,
        centre=np.zeros(1),
        scale=np.ones(1),
        origins=origins,
        ahead=ahead,
        mase_scale=np.broadcast_to(scales[:, None], (1, len(origins))),
        source=source,
    )


def free_run(runtime: Runtime, task: Task) -> Iterator[Chunk]:
    """Medians for each origin and stream of a bundle that reads its own forecasts as
    observations."""
    panel = task.panel
    for stream in range(len(panel.streams)):
        state: TensorState = {
            s.name: np.zeros((1, *s.shape), s.dtype) for s in runtime.manifest.state
        }
        for row in range(int(task.origins[-1]) + 1):
            result = runtime.step(
                panel.values[stream, row].reshape(1, 1), panel.timestamps[row : row + 1], state
            )
            state = result.next_state
            if row in task.origins:
                last = float(result.one_step[0, 0, runtime.manifest.median])
                path = _fed_back(runtime, state, int(panel.timestamps[row]), last, len(task.ahead))
                one, multi = result.one_step[:, 0], path[None, :, None]
                yield Chunk(np.array([stream]), np.array([row]), one, multi)


def _fed_back(
    runtime: Runtime, state: TensorState, stamp: int, value: float, steps: int
) -> Float64:
    """The path [steps] from a state and the first forecast on."""
    path = [value]
    for step in range(1, steps):
        stamps = np.array([stamp + step * runtime.manifest.interval_ms])
        result = runtime.step(np.array([[path[-1]]]), stamps, state)
        state = result.next_state
        path.append(float(result.one_step[0, 0, runtime.manifest.median]))
    return np.array(path)
