"""`eddycast replay`: forecast a file of observations into a file, with the service's own engine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from eddycast.service.bundle import Manifest
from eddycast.service.commands.data_options import AsTrained, Data, Operators, Reading
from eddycast.service.commands.expand import expand_options
from eddycast.service.commands.progress_bar import counting_bar
from eddycast.service.errors import DataError
from eddycast.service.history import read_for_bundle
from eddycast.service.history.aggregation import as_trained
from eddycast.service.history.merging import Readings, merge
from eddycast.service.history.options import parse_aggregate
from eddycast.service.humanize import line_width, many
from eddycast.service.output_files import check_writable, written_to
from eddycast.service.sealing.trust import Trust

if TYPE_CHECKING:
    from eddycast.service.model.runtime import Runtime
    from eddycast.service.processing.replay import ReplayChunk

Write = Callable[["ReplayChunk"], None]
JSON_LINES = (".jsonl", ".ndjson", ".json")


@expand_options
def replay(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE", help="A bundle's directory, as written by `eddycast train`."
        ),
    ],
    data: Data,
    reading: Reading,
    out: Annotated[
        Path,
        typer.Option(
            help="Output file: .parquet, or .jsonl for records as the service writes them."
        ),
    ],
    forecast_every: Annotated[
        int,
        typer.Option(
            min=1, help="Make a multi-step forecast for every n-th observation of a stream."
        ),
    ] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many readings.")] = None,
    aggregate: AsTrained = None,
    operators: Operators = None,
) -> None:
    """Forecast every observation in DATA, as the service would have from the first reading on.

    Example: eddycast replay /srv/bundle readings.csv --out forecasts.parquet
    """
    if out.suffix not in (".parquet", *JSON_LINES):
        raise DataError(
            f"{out}: no known format has this ending", f"use .parquet or {JSON_LINES[0]}"
        )
    check_writable(out)
    chosen = parse_aggregate(aggregate) if aggregate else None
    # slow to import: after the flags are checked
    from eddycast.service.model.loading import load_runtime

    runtime = load_runtime(bundle, trust=Trust.allowing(operators))
    history = read_for_bundle(data, reading, runtime.manifest)
    history = as_trained(history, runtime.manifest, chosen)
    console = Console(stderr=True, width=line_width(sys.stderr), highlight=False)
    for note in history.notes:
        console.print(note, markup=False)
    with written_to(out):
        written = forecast_file(runtime, merge(history, limit=limit), out, forecast_every, console)
    console.print(
        f"{many(written, 'forecast')} of {many(len(history.streams), 'stream')} in {out}",
        markup=False,
    )


def forecast_file(
    runtime: Runtime, readings: Readings, out: Path, forecast_every: int, console: Console
) -> int:
    """Replay `readings` into `out` with a progress bar. Returns the number of forecasts."""
    from eddycast.service.processing.replay import replay as run

    names = [name.encode() for name in readings.streams]
    chunks = run(
        runtime,
        names,
        readings.timestamps,
        readings.values,
        readings.stream,
        forecast_every=forecast_every,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = parquet if out.suffix == ".parquet" else json_lines
    written = 0
    with counting_bar(console) as progress, writer(out, runtime.manifest, readings) as write:
        bar = progress.add_task("replay", total=len(readings))
        for chunk in chunks:
            write(chunk)
            written += len(chunk.forecasts)
            progress.advance(bar, len(chunk.records))
    return written


@contextmanager
def json_lines(out: Path, manifest: Manifest, readings: Readings) -> Iterator[Write]:
    """Open a file of JSON records as the service writes them, one per line."""
    from eddycast.service.formats.json_encoder import Encoder
    from eddycast.service.processing.outputs import forecast_columns

    encoder = Encoder(manifest)
    names = [name.encode() for name in readings.streams]
    with out.open("wb") as file:

        def write(chunk: ReplayChunk) -> None:
            made, index = chunk.forecasts, chunk.index
            streams = [names[i] for i in readings.stream[index].tolist()]
            columns = forecast_columns(
                streams, readings.timestamps[index], readings.values[index], made
            )
            file.writelines(record + b"\n" for record in encoder.encode(columns))

        yield write


@contextmanager
def parquet(out: Path, manifest: Manifest, readings: Readings) -> Iterator[Write]:
    """Open a Parquet file with columns `value` (one per channel), `error` and the arrays
    `expected` and `one_step` [quantiles] and `multi_step` [horizon, quantiles] (one each per
    target).

    Chunks are written to separate files and merged at the end,
    so that memory stays bounded and `out` is complete.
    """
    import polars as pl

    names = pl.Series(readings.streams, dtype=pl.String)

    def table(chunk: ReplayChunk) -> pl.DataFrame:
        made, index = chunk.forecasts, chunk.index
        columns: dict[str, Any] = {
            "stream": names.gather(readings.stream[index]),
            "timestamp": pl.Series(readings.timestamps[index]).cast(pl.Datetime("ms", "UTC")),
        }
        for channel, suffix in enumerate(_suffixes(manifest.channels)):
            columns[f"value{suffix}"] = np.ascontiguousarray(readings.values[index, channel])
        for target, suffix in enumerate(_suffixes(manifest.targets)):
            columns[f"expected{suffix}"] = np.ascontiguousarray(made.expected[:, target])
            columns[f"error{suffix}"] = np.ascontiguousarray(made.error[:, target])
            columns[f"one_step{suffix}"] = np.ascontiguousarray(made.one_step[:, target])
            columns[f"multi_step{suffix}"] = np.ascontiguousarray(made.multi_step[:, :, target])
        frame = pl.DataFrame(
            columns | {"surprise": made.surprise, "anomaly": made.anomaly, "warm": made.warm}
        )
        return frame.with_columns(
            pl.when(pl.lit(pl.Series(made.has_multi))).then(pl.col("^multi_step.*$"))
        )

    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        parts: list[Path] = []

        def write(chunk: ReplayChunk) -> None:
            parts.append(Path(folder) / f"{len(parts):06}.parquet")
            table(chunk).write_parquet(parts[-1])

        yield write
        whole = Path(folder) / "whole.parquet"
        pl.scan_parquet(parts).sink_parquet(whole)
        whole.replace(out)


def _suffixes(names: Sequence[str]) -> list[str]:
    return [""] if len(names) == 1 else [f".{name}" for name in names]
