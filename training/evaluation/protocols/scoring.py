"""Scoring of one task: the model and the baselines, at the same origins and on the same targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eddycast.service.comparison.significance import differences
from eddycast.service.records import Float64, Int64
from eddycast.training.evaluation import baselines
from eddycast.training.evaluation.metrics import Figure, Scores
from eddycast.training.evaluation.protocols.task import Task

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Forecasts of one target made at `n` origins, on the raw scale."""

    stream: Int64  # [n] index among the panel's streams
    row: Int64  # [n] the origin's row in the panel
    one_step: Array  # [n, quantiles]
    multi_step: Array  # [n, horizon, quantiles]


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Targets and forecasts of `n` origins on the scale of the task; NaN targets count nowhere."""

    stream: Int64  # [n]
    row: Int64  # [n]
    target: Float64  # [n, leads]
    forecasts: Mapping[str, Array]  # model -> [n, leads, levels]
    mase_scale: Float64  # [n]


#: Callable that is passed every scored batch.
Observer = Callable[[ScoredBatch], None]


class Scorer:
    """Scores of a model and of the baselines on one task."""

    def __init__(
        self, task: Task, model: str, levels: Sequence[float], observers: Sequence[Observer] = ()
    ) -> None:
        """`levels` are the quantiles of the model's forecasts.
        A model named like a baseline replaces that baseline."""
        self.task, self._model, self._observers = task, model, observers
        self._baselines = {"naive": baselines.naive(task.values)}
        if task.season:
            self._baselines["seasonal_naive"] = baselines.seasonal_naive(task.values, task.season)
        self._baselines.pop(model, None)
        shape = task.mase_scale.shape
        levels = (0.5,) if task.source == "fed_back" else levels
        judged = {model: levels} | dict.fromkeys(self._baselines, (0.5,))
        self._scores = {
            name: Scores(own, shape, by_stream=task.by_stream) for name, own in judged.items()
        }
        self._seen = np.zeros(shape, np.bool_)

    def take(self, chunk: Chunk) -> None:
        """Add the forecasts of a chunk that belong to this task."""
        if self.task.source == "one_step":
            self.add(chunk.stream, chunk.row, chunk.one_step[:, None])
        else:
            self.add(
                chunk.stream,
                chunk.row,
                chunk.multi_step[:, self.task.ahead // self.task.stride - 1],
            )

    def add(self, stream: Int64, row: Int64, forecast: Array) -> None:
        """Add forecasts [n, leads, levels] on the raw scale of stream [n] at row [n]. Rows that are
        not origins of the task are left out, and so are targets that are missing or have no
        forecast."""
        task = self.task
        place = np.minimum(np.searchsorted(task.origins, row), len(task.origins) - 1)
        inside = task.origins[place] == row
        stream, row, place = stream[inside], row[inside], place[inside]
        if not len(row):
            return
        judged = (forecast[inside] - task.centre[stream, None, None]) / task.scale[
            stream, None, None
        ]
        target = task.values[stream[:, None], row[:, None] + task.ahead]
        target = np.where(np.isnan(judged).any(axis=2), np.nan, target)
        self._seen[stream, place] = ~np.isnan(target).all(axis=1)
        rivals = {
            name: made(stream, row, task.ahead)[..., None] for name, made in self._baselines.items()
        }
        batch = ScoredBatch(
            stream, row, target, {self._model: judged, **rivals}, task.mase_scale[stream, place]
        )
        for name, scores in self._scores.items():
            scores.add(stream, place, target, batch.forecasts[name], batch.mase_scale)
        for observer in self._observers:
            observer(batch)

    def figures(self, per_stream: bool = False) -> Iterator[Figure]:
        """One figure a model, the model's own with its differences to the baselines;
        `per_stream` adds one a stream and model."""
        task, names = self.task, self.task.panel.streams
        unscaled = tuple(
            name
            for name, scale, seen in zip(names, task.mase_scale, self._seen, strict=True)
            if seen.any() and not (np.nan_to_num(scale[seen]) > 0).all()
        )
        rivals = {name: self._scores[name].by_origin for name in self._baselines}
        for model, scores in self._scores.items():
            figure = scores.figure(model, task.horizon, int(self._seen.any(axis=0).sum()))
            against = (
                differences(scores.by_origin, rivals, task.block) if model == self._model else {}
            )
            yield figure.model_copy(
                update={"task": task.label, "unscaled": unscaled, "against": against}
            )
        if per_stream:
            for i, name in enumerate(names):
                for model, scores in self._scores.items():
                    figure = scores.stream_figure(
                        model, task.horizon, int(self._seen[i].sum()), i, name
                    )
                    yield figure.model_copy(update={"task": task.label})
