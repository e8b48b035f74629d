"""From a history to the panel that a model learns from:
the grid, the cut, and counters as their increases."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eddycast.service.history import History
from eddycast.service.history.aggregation import as_asked, check_aggregate
from eddycast.training.data.counters import as_counters, check_kind, counter_remark, parse_register
from eddycast.training.data.interval import choose_interval
from eddycast.training.data.options import PanelOptions
from eddycast.training.data.own_split import choose_split, to_fit_on
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.split import Split


@dataclass(frozen=True)
class Prepared:
    """A panel, where it is cut, and remarks for the user."""

    panel: Panel
    split: Split
    notes: list[str]


def prepare(history: History, options: PanelOptions) -> Prepared:
    """Place a history on its grid, cut it, and turn counters into increases.
    Raises DataError if that is impossible.

    A register is detected before the hold-out, and the remark about counters looks at the train
    part alone.
    """
    check_kind(options.kind or "gauge")
    check_aggregate(options.aggregate, options.kind or "gauge", options.count)
    if options.aggregate not in (None, "first"):
        history = as_asked(history, options.aggregate, options.interval, options.count)
    interval_ms, found = choose_interval(history, options.interval)
    panel = make_panel(history, interval_ms)
    panel = replace(panel, aggregate=options.aggregate or panel.aggregate, count=options.count)
    notes = [*panel.notes, *found]
    split, cut = choose_split(options.split, options.split_by, panel)
    notes.append(cut)
    known, ends = to_fit_on(panel, split)
    if options.kind is None:
        notes.append(counter_remark(known.rows(0, ends.train_end)) or "")
    if options.kind == "counter":
        size, remark = parse_register(options.register, known.rows(0, ends.validation_end))
        panel = as_counters(panel, size)
        notes.append(remark or "")
    return Prepared(panel, split, [note for note in notes if note])
