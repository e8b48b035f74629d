"""`python -m tests.bench`: every figure, on a real Kafka, in one run;
a table here, build/bench.json, and a line of build/bench-history.jsonl."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.copying import copying
from tests.bench.decoding import decoding
from tests.bench.graphs import sweep
from tests.bench.history import remember
from tests.bench.latency import latency
from tests.bench.model import BUILD, gru_bundle, state_rows
from tests.bench.outputs import outputs
from tests.bench.plan import FULL, QUICK, Plan
from tests.bench.process import run
from tests.bench.rebalancing import rebalancing
from tests.bench.report import Result, show, write_json
from tests.bench.restoring import restoring
from tests.bench.throughput import throughput, throughput_of_default, throughput_of_garbage

HISTORY = BUILD / "bench-history.jsonl"


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: about two minutes")
    parser.add_argument(
        "--only", choices=PARTS, nargs="+", default=list(PARTS), help="these parts alone"
    )
    parser.add_argument(
        "--json", type=Path, default=BUILD / "bench.json", help="where the figures go"
    )
    arguments = parser.parse_args()
    plan, bundle = QUICK if arguments.quick else FULL, gru_bundle(BUILD)
    results = [result for name in arguments.only for result in PARTS[name](plan, bundle)]
    write_json(results, arguments.json)
    print(f"written: {arguments.json}")
    for line in remember(results, "quick" if arguments.quick else "full", HISTORY):
        print(line)
    return 0


def graphs(plan: Plan, bundle: Path) -> list[Result]:
    """Rows a second by rows in a call."""
    rates = sweep(bundle, plan.sweep_s)
    show(
        "Graphs: rows/s by rows in a call (one thread)",
        ["rows in a call", "step", "forecast"],
        [
            [str(batch), f"{step:,.0f}", f"{forecast:,.0f}"]
            for batch, (step, forecast) in rates.items()
        ],
        "every call is filled up to a multiple of 16 rows",
    )
    return [
        Result(f"{graph}_rows_{batch}", both[index], "rows/s")
        for batch, both in rates.items()
        for index, graph in enumerate(("step", "forecast"))
    ]


def memory(plan: Plan, _bundle: Path) -> list[Result]:
    """Bytes a stream, rows and index, by streams."""
    results, rows = [], []
    for model, specs in state_rows().items():
        for streams in plan.streams[model]:
            found = run(["tests.bench.memory", str(streams)], json.dumps(specs))
            rows.append(
                [
                    model,
                    f"{streams:,}",
                    *(f"{found[key]:,.0f}" for key in ("row", "account", "resident")),
                ]
            )
            results.append(Result(f"memory_{model}_{streams}", found["account"], "bytes/stream"))
    show(
        "Memory: bytes a stream",
        ["model", "streams", "row", "allocated", "resident"],
        rows,
        "row: tensors and prefix; allocated: all rows, used or "
        "not, and the index; resident: as the system sees it",
    )
    return results


PARTS: dict[str, Callable[[Plan, Path], list[Result]]] = {
    "throughput": throughput,
    "default": throughput_of_default,
    "garbage": throughput_of_garbage,
    "copying": copying,
    "outputs": outputs,
    "latency": latency,
    "restore": lambda plan, _: restoring(plan),
    "rebalance": rebalancing,
    "graphs": graphs,
    "decoding": lambda _plan, _bundle: decoding(),
    "memory": memory,
}

if __name__ == "__main__":
    sys.exit(main())
