"""The service on a long topic beside the C client, which copies the same records: both exactly
once."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from tests.bench.contender import BACKLOG, LIBRDKAFKA
from tests.bench.plan import Plan
from tests.bench.report import Result, show
from tests.bench.throughput import STREAMS, in_turns, rates_of, spread


def copying(plan: Plan, bundle: Path) -> list[Result]:
    """Records a second and CPU of both, and their ratio round by round."""
    runs = in_turns((BACKLOG, LIBRDKAFKA), plan, bundle)
    rates = {name: rates_of(runs, name) for name in runs}
    cpu = {name: median(found["cpu_us"] for found in runs[name]) for name in runs}
    ratios = tuple(
        own / copied for own, copied in zip(rates[BACKLOG], rates[LIBRDKAFKA], strict=True)
    )
    show(
        f"A backlog of {plan.records[BACKLOG]:,} records, exactly once: GRU-64, 12 x 3, JSON, "
        f"{STREAMS:,} streams",
        ["contender", "records/s", "lowest", "highest", "CPU us/record"],
        [
            [label, *spread(rates[name]), f"{cpu[name]:.1f}"]
            for name, label in ((BACKLOG, "service"), (LIBRDKAFKA, "librdkafka, copying"))
        ],
        f"the service is at {median(ratios):.2f} x the speed of copying, round by round",
    )
    return [
        *(Result(name, median(rates[name]), "records/s", {}, rates[name]) for name in runs),
        *(Result(f"cpu_{name}", cpu[name], "us/record") for name in runs),
        Result("backlog_to_librdkafka", median(ratios), "times", {}, ratios),
    ]
