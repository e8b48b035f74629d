"""The trainer's default model by what is written of its forecasts, and in which form."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from tests.bench.forms import EXACT, FORMS, LABELS
from tests.bench.model import BUILD, default_bundle
from tests.bench.plan import Plan
from tests.bench.report import Result, show
from tests.bench.throughput import STREAMS, in_turns, rates_of, spread


def outputs(plan: Plan, _bundle: Path) -> list[Result]:
    """Records a second, CPU and bytes of a record for each of `FORMS`, exactly once."""
    runs = in_turns(tuple(FORMS), plan, default_bundle(BUILD))
    rates = {name: rates_of(runs, name) for name in FORMS}
    cpu = {name: median(found["cpu_us"] for found in runs[name]) for name in FORMS}
    size = {name: median(found["bytes"] for found in runs[name]) for name in FORMS}
    ratios = {
        name: tuple(own / exact for own, exact in zip(rates[name], rates[EXACT], strict=True))
        for name in FORMS
    }
    show(
        f"What is written: default lstm, 96 leads x 9 levels, {STREAMS:,} streams, exactly once",
        ["output", "records/s", "lowest", "highest", "speed", "CPU us/record", "bytes/record"],
        [
            [
                LABELS[name],
                *spread(rates[name]),
                f"{median(ratios[name]):.2f} x",
                f"{cpu[name]:.1f}",
                f"{size[name]:,.0f}",
            ]
            for name in FORMS
        ],
        "speed: round by round, relative to the first; bytes: of segments on the broker, of "
        "streams with two or three readings, so alike that compression looks too good",
    )
    return [
        *(
            Result(f"output_{name}", median(rates[name]), "records/s", {}, rates[name])
            for name in FORMS
        ),
        *(
            Result(f"output_{name}_speed", median(ratios[name]), "times", {}, ratios[name])
            for name in FORMS
        ),
        *(Result(f"cpu_output_{name}", cpu[name], "us/record") for name in FORMS),
        *(Result(f"bytes_output_{name}", size[name], "bytes/record") for name in FORMS),
    ]
