"""The options by which a history becomes a panel. Light to import:
`eddycast train` shows them in --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from eddycast.service.history.options import parse_aggregate
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.service.settings.cli_option import Option

SPLIT_HELP = (
    "Train, validation and hold-out part, as rows (8640,2880,2880) or as shares (.7,.1,.2)."
)


@dataclass(frozen=True)
class PanelOptions:
    """The grid of a panel, the kind of its streams, and where it is cut."""

    interval: Annotated[
        str | None,
        Option("Interval of the model's grid, for example 1h.", shown_default="detected in DATA"),
    ] = None
    aggregate: Annotated[
        Aggregate | None,
        Option(
            "Gather the readings of each --interval, as time.aggregate does: last, mean, sum, min "
            "or max.",
            parse=parse_aggregate, shown_default="the first reading of each interval",
        ),
    ] = None  # fmt: skip
    count: Annotated[
        str | None,
        Option(
            "Add the number of readings of each interval as a channel of this name, with "
            "--aggregate; it is forecast only if it is among the --targets.",
            shown_default="none",
        ),
    ] = None
    kind: Annotated[
        str | None,
        Option(
            "gauge, or counter: a meter that only rises; its increases per interval are forecast.",
            shown_default="gauge",
        ),
    ] = None
    register: Annotated[
        str | None,
        Option(
            "Value at which counters wrap around, for example 65536; none = they only reset.",
            shown_default="detected in DATA",
        ),
    ] = None
    split: Annotated[str | None, Option(SPLIT_HELP, shown_default=".7,.1,.2")] = None
    split_by: Annotated[
        str | None,
        Option(
            "calendar: all streams are cut at the same times; stream: each by its own length.",
            shown_default="calendar, unless most streams lack one of its parts",
        ),
    ] = None
