"""Measure a case: train or find its bundle, judge it, and say what it costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest, score_tasks
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.every_origin import rolling_tasks
from eddycast.training.evaluation.protocols.table import protocol_of
from eddycast.training.evaluation.protocols.task import Task, TaskOptions
from eddycast.training.evaluation.report import results
from eddycast.training.fitting.masking import holes
from eddycast.training.recipe import Recipe
from tests.accuracy.anomalies import alarms, nab
from tests.accuracy.book import book_errors
from tests.accuracy.bundles import JUDGES, TRAINS, digest, sources, trained
from tests.accuracy.cases import UNSEEN, Case
from tests.accuracy.sets import DAY, SETS, only, panel_of, training_rows, without
from tests.bench.graphs import sweep

BATCHES = (1, 64, 512)
#: Steps since a stream's start: (first, last) of the origins that are judged together.
STARTS = ((1, 3), (4, 6), (7, 12), (13, 24), (25, 48), (49, 96), (97, 168))
OFFSET = 5.0  # scales
TAKEN_OUT = 0.2  # of the values of a hold-out

Record = dict[str, Any]
panel_in = lru_cache(maxsize=2)(panel_of)


def key_of(case: Case) -> str:
    """Digest of everything that determines a case's record, apart from the data files."""
    return digest(asdict(case), sources(TRAINS), sources(JUDGES))


def measure(case: Case, data: Path, store: Path) -> Record:
    """`{"case", "key", "data", "results", "cost"}` of a case; `data`: the folder of sets, `store`:
    of bundles."""
    if case.part == "book":
        return {"case": asdict(case), "key": key_of(case), **_book(case)}
    if case.protocol == "nab":
        return {"case": asdict(case), "key": key_of(case), "results": nab(data / "nab", store)}
    panel = panel_in(case.data, data)
    split = _split(case, panel)
    taught = without(panel, UNSEEN[case.data]) if case.part == "unseen" else panel
    bundle = trained(taught, _recipe(case, panel), split, store)
    if case.part == "anomaly":
        return {"case": asdict(case), "key": key_of(case), "results": alarms(bundle, panel, split)}
    if case.part == "unseen":
        figures = _unseen(bundle, only(panel, UNSEEN[case.data]), split)
    elif case.part == "holes":
        figures = _holes(bundle, panel, split)
    elif case.part == "start":
        figures = _start(bundle, panel, split)
    else:
        figures = backtest(
            bundle, panel, case.protocol, split, season_ms=DAY, per_stream=case.part == "rolling"
        )
    told = results(case.protocol, case.data, figures)
    return {"case": asdict(case), "key": key_of(case), **told, "cost": cost(bundle)}


def cost(bundle: Path) -> Record:
    """Seconds of training, floats of state, rows/s by rows in a call."""
    manifest = read_manifest(bundle)
    rates = sweep(bundle, 0.3, BATCHES)
    return {
        "family": manifest.family,
        "choice": getattr(manifest.training, "choice", ""),
        "seconds": manifest.training.seconds if manifest.training else None,
        "floats": sum(int(np.prod(spec.shape)) for spec in manifest.state),
        "bytes": manifest.row_bytes,
        "step": {batch: round(step) for batch, (step, _) in rates.items()},
        "forecast": {batch: round(forecast) for batch, (_, forecast) in rates.items()},
    }


def _recipe(case: Case, panel: Panel) -> Recipe:
    horizon = case.horizon or DAY // panel.interval_ms
    second = SETS[case.data].second_season_ms if case.data in SETS else None
    return Recipe(
        case.family,
        horizon,
        seasons_ms=(DAY, second) if second else (DAY,),
        linear_path=case.linear_path,
        seed=case.seed,
        epochs=case.epochs,
        name="model",
    )


def _split(case: Case, panel: Panel) -> Split:
    """The split of the case's protocol; `gift` learns from everything before the first window, the
    last of it being validation."""
    if case.protocol != "gift":
        return Split.parse(case.split or protocol_of(case.protocol).split, len(panel))
    end = training_rows(len(panel), [case.horizon])
    return Split(end - max(round(0.15 * end), 3 * case.horizon), end, len(panel))


def _unseen(bundle: Path, panel: Panel, split: Split) -> list[Figure]:
    """A stream that the training did not see, and whose service starts at the training's end:
    judged from two seasons later on."""
    runtime = load_runtime(bundle)
    tasks = rolling_tasks(panel, TaskOptions.of(runtime.manifest, split, DAY))
    hidden = panel.values.copy()
    hidden[:, : split.validation_end] = np.nan
    late = Panel(panel.streams, panel.timestamps, hidden, panel.interval_ms)
    first = split.validation_end + 2 * DAY // panel.interval_ms
    return score_tasks(runtime, [_from(task, late, first) for task in tasks], late)


def _from(task: Task, panel: Panel, first: int) -> Task:
    kept = task.origins >= first
    values = np.where(np.isnan(panel.values[:, : task.end]), np.nan, task.values)
    return replace(
        task,
        panel=panel,
        values=values,
        origins=task.origins[kept],
        mase_scale=task.mase_scale[:, kept],
    )


def _holes(bundle: Path, panel: Panel, split: Split) -> list[Figure]:
    """A hold-out of which runs of up to two seasons are missing, judged by all that came.
    The naive forecasts miss nothing."""
    runtime = load_runtime(bundle)
    longest = 2 * DAY // panel.interval_ms
    missing = holes(panel.values.T.shape, longest, TAKEN_OUT, np.random.default_rng(0)).T
    missing[:, : split.validation_end] = False
    told = Panel(
        panel.streams, panel.timestamps, np.where(missing, np.nan, panel.values), panel.interval_ms
    )
    tasks = rolling_tasks(panel, TaskOptions.of(runtime.manifest, split, DAY))
    return score_tasks(runtime, [replace(task, panel=told) for task in tasks], told)


def _start(bundle: Path, panel: Panel, split: Split) -> list[Figure]:
    """Streams that begin anywhere in the hold-out, moved by OFFSET of their scales,
    by steps since their start."""
    runtime = load_runtime(bundle)
    horizon, last = runtime.manifest.horizon, STARTS[-1][1]
    week = 7 * DAY // panel.interval_ms
    starts = range(split.validation_end, split.end - last - horizon, week)
    train = panel.values[:, : split.train_end]
    moved = (panel.values - train.mean(axis=1, keepdims=True)) / train.std(
        axis=1, keepdims=True
    ) + OFFSET
    pieces = [moved[:, start : start + last + horizon] for start in starts]
    names = [f"{name} from row {start}" for start in starts for name in panel.streams]
    stamps = panel.timestamps[starts[0] : starts[0] + last + horizon]
    new = Panel(names, stamps, np.concatenate(pieces), panel.interval_ms)
    return score_tasks(runtime, [_steps(new, span, horizon) for span in STARTS], new)


def _steps(panel: Panel, span: tuple[int, int], horizon: int) -> Task:
    streams, origins = len(panel.streams), np.arange(span[0] - 1, span[1])
    return Task(
        label=f"{span[0]} to {span[1]}",
        panel=panel,
        values=panel.values,
        centre=np.zeros(streams),
        scale=np.ones(streams),
        origins=origins,
        ahead=np.arange(1, horizon + 1),
        mase_scale=np.ones((streams, len(origins))),
    )


def _book(case: Case) -> Record:
    errors = [book_errors(seed) for seed in range(case.seeds)]
    found = []
    for task in errors[0]:
        column = np.array([error[task] for error in errors])
        found.append(
            {"task": task, "mse": float(column.mean()), "spread": float(column.std(ddof=1))}
        )
    return {"protocol": "book", "data": "drawn", "results": found}
