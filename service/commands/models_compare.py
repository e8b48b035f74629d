"""`eddycast models compare`: the forecasts of a champion and a challenger for the same readings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eddycast.service.commands.named_model import named_model, served_model, without_pin
from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import broker_of, needs_polars, say, settings_after
from eddycast.service.durations import format_duration, parse_duration
from eddycast.service.humanize import many, one_line, some, table_width

if TYPE_CHECKING:
    from eddycast.service.comparison.compare import Comparison, Measure, OneSeries, Span
    from eddycast.service.comparison.forecast_columns import ForecastColumns
    from eddycast.service.settings.settings import Settings

_WORDS = {"error": "scaled error", "pinball": "scaled quantile loss"}


def compare(
    context: typer.Context,
    challenger: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC",
            help="Topic of the challenger's forecasts; with --replay its bundle's directory or six "
            "or more digits of its version. Must precede all settings.",
        ),
    ],
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Replay topics.input with the model that is served and with another one, in place "
            "of two topics of forecasts.",
        ),
    ] = False,
    burn_in: Annotated[
        str,
        typer.Option(help="Leave out readings for so long after the first that both forecast."),
    ] = "1d",
    last: Annotated[
        str | None,
        typer.Option(help="Use the readings of this time before the last one.", show_default="all"),
    ] = None,
    block: Annotated[
        str,
        typer.Option(help="Errors that lie further apart than this are taken as independent."),
    ] = "1d",
    most: Annotated[
        int, typer.Option("--streams", min=0, help="Show this many streams, largest gaps first.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with all streams.")
    ] = False,
    help: SettingsHelp = False,  # noqa: A002, ARG001
) -> None:
    """Compare the one-step forecasts in topics.output with those in TOPIC, reading by reading:
    scaled error and quantile loss, with intervals that respect the dependence of errors, by stream
    and over all. With --replay no challenger need have run.

    Example: eddycast models compare load-b-forecasts --kafka.bootstrap_servers HOST:9092
    """
    settings = settings_after(challenger, context.args)
    from eddycast.service.comparison.compare import Span, compare

    last_ms = None if last is None else parse_duration(last)
    span = Span(parse_duration(burn_in), parse_duration(block), last_ms)
    if replay:
        champion, rival = _replayed(settings, challenger, span)
    else:
        champion, rival = _forecasts(settings, challenger)
    found = compare(champion, rival, span)
    if as_json:
        typer.echo(orjson.dumps(_facts(found, span)).decode())
    else:
        _print(found, span, most)


def _forecasts(settings: Settings, topic: str) -> tuple[ForecastColumns, ForecastColumns]:
    """The forecasts in both topics."""
    from eddycast.service.comparison.forecast_columns import Numbers
    from eddycast.service.comparison.topics import read_forecasts

    broker, numbers = broker_of(settings), Numbers()
    champion = read_forecasts(broker, settings, settings.topics.output, numbers)
    return champion, read_forecasts(broker, settings, topic, numbers)


def _replayed(settings: Settings, name: str, span: Span) -> tuple[ForecastColumns, ForecastColumns]:
    """The forecasts of both models for what the input holds, from a burn-in before the last
    readings on."""
    needs_polars("--replay")
    from eddycast.service.archive.reading import read_topic
    from eddycast.service.comparison.forecast_columns import Numbers
    from eddycast.service.comparison.replayed import replayed
    from eddycast.service.history import ReadOptions
    from eddycast.service.history.merging import merge

    champion = served_model(settings)
    challenger = named_model(name, without_pin(settings))
    manifest = champion.manifest
    channels = manifest.channels if len(manifest.channels) > 1 else ()
    topic = settings.topics.input
    history = read_topic(broker_of(settings), settings, topic, channels, ReadOptions())
    if span.last_ms is not None:
        history = history.between(history.end_ms - span.last_ms - span.burn_in_ms)
    readings, numbers = merge(history), Numbers()
    return replayed(champion, readings, numbers), replayed(challenger, readings, numbers)


def _verdict(found: Comparison, span: Span) -> str:
    """One sentence about both models."""
    from eddycast.service.comparison.significance import VERDICT_BLOCKS

    difference = found.measures["pinball"].difference
    if found.blocks < VERDICT_BLOCKS or difference.low is None:
        blocks = many(found.blocks, "block")
        return (
            f"too early: {blocks} of {format_duration(span.block_ms)}, {VERDICT_BLOCKS} are needed"
        )
    if not difference.exceeds_noise:
        return "no difference beyond chance"
    better = difference.relative < 0
    return f"the challenger is {'better' if better else 'worse'} beyond chance"


def _print(found: Comparison, span: Span, most: int) -> None:
    champion, challenger = (some([one_line(name) for name in one]) for one in found.models)
    start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (found.start_ms, found.end_ms))
    where = f"{many(found.readings, 'reading')} of {len(found.series):,} series"
    say(f"champion {champion}, challenger {challenger}: {where}, {start:%F %R} to {end:%F %R} UTC")
    if found.left_out:
        say(f"left out, as their readings never change: {found.left_out:,} series")
    table = Table("", "champion", "challenger", "the challenger's is", box=None)
    for name, measure in found.measures.items():
        table.add_row(_WORDS[name], *_cells(measure))
    inside = f"inside the {found.levels[-1] - found.levels[0]:.0%} interval"
    table.add_row(inside, *(f"{share:.1%}" for share in found.coverage), "")
    console = Console(width=table_width(), highlight=False)
    console.print(table)
    say(f"one step ahead: {_verdict(found, span)}")
    if most and len(found.series) > 1:
        console.print(_streams(found.series, most))


def _streams(series: list[OneSeries], most: int) -> Table:
    """The series with the largest differences of the quantile loss."""
    ranked = sorted(series, key=lambda one: -abs(one.measures["pinball"].difference.relative))
    notable = [one.measures["pinball"].difference for one in series]
    better = sum(one.exceeds_noise and one.relative < 0 for one in notable)
    worse = sum(one.exceeds_noise and one.relative > 0 for one in notable)
    title = f"scaled quantile loss by series: {better:,} better beyond chance, {worse:,} worse"
    title += f" (of {len(series):,}; chance alone gives {0.025 * len(series):.3g} on each side)"
    table = Table("stream", "readings", "champion", "challenger", "the challenger's is", box=None)
    table.title, table.title_justify = title, "left"
    for one in ranked[:most]:
        name = one_line(f"{one.stream} {one.target}".strip())
        table.add_row(escape(name), f"{one.readings:,}", *_cells(one.measures["pinball"]))
    return table


def _cells(measure: Measure) -> tuple[str, str, str]:
    champion, challenger, difference = measure
    return f"{champion:.4g}", f"{challenger:.4g}", difference.text


def _facts(found: Comparison, span: Span) -> dict[str, Any]:
    """The comparison for programs; differences are [relative, low, high]."""
    from eddycast.service.comparison.significance import VERDICT_BLOCKS

    models = zip(("champion", "challenger"), found.models, strict=True)
    return {
        "models": {role: list(labels) for role, labels in models},
        "from_ms": found.start_ms,
        "until_ms": found.end_ms,
        "readings": found.readings,
        "series": len(found.series),
        "left_out": found.left_out,
        "quantiles": list(found.levels),
        "block_ms": span.block_ms,
        "blocks": found.blocks,
        "blocks_needed": VERDICT_BLOCKS,
        "verdict": _verdict(found, span),
        "measures": _measures(found.measures),
        "coverage": dict(zip(("champion", "challenger"), found.coverage, strict=True)),
        "by_stream": [
            {
                "stream": one.stream,
                "target": one.target or None,
                "readings": one.readings,
                "measures": _measures(one.measures),
            }
            for one in found.series
        ],
    }


def _measures(measures: dict[str, Measure]) -> dict[str, Any]:
    return {
        name: {
            "champion": measure.champion,
            "challenger": measure.challenger,
            "difference": list(measure.difference),
        }
        for name, measure in measures.items()
    }
