"""`eddycast models compare`: the forecasts of a champion and a challenger for the same readings."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from eddycast.service.commands.settings_help import SettingsHelp
from eddycast.service.commands.state_request import settings_after
from eddycast.service.durations import parse_duration


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
    multi_step: Annotated[
        bool,
        typer.Option(
            "--multi-step",
            help="Compare the multi-step forecasts as well; reads all a second time.",
        ),
    ] = False,
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
    from eddycast.service.commands.compared_output import facts, show
    from eddycast.service.commands.compared_sources import inputs, outputs
    from eddycast.service.comparison.compare import compare
    from eddycast.service.comparison.multi_step import compare_multi_step, plan_of
    from eddycast.service.comparison.overlap import Span, overlap_of

    last_ms = None if last is None else parse_duration(last)
    span = Span(parse_duration(burn_in), parse_duration(block), last_ms)
    both = inputs(settings, challenger, span) if replay else outputs(settings, challenger)
    champion, rival = both[0].one_step(), both[1].one_step()
    overlap = overlap_of(champion, rival, span)
    found, over_leads = compare(overlap), None
    if multi_step:
        plan = plan_of(champion, rival, overlap)
        over_leads = compare_multi_step(both[0].multi_step(plan), both[1].multi_step(plan))
    models = tuple(champion.models), tuple(rival.models)
    if as_json:
        typer.echo(orjson.dumps(facts(models, overlap, found, over_leads)).decode())
    else:
        show(models, overlap, found, over_leads, most)
