"""`python -m tests.bench`: every figure, on a real Kafka, in one run; a table here and build/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from deploy.kafka import KafkaServer
from service.broker.kafka import KafkaBroker
from tests.bench.contender import NAMES
from tests.bench.graphs import sweep
from tests.bench.load import PARTITIONS, fill
from tests.bench.model import ROOT, gru_bundle, state_rows
from tests.bench.report import Result, show, write_json

BUILD = ROOT / "build"
STREAMS = 10_000
END_TO_END = "end_to_end_at_least_once"


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    rounds: int
    records: Mapping[str, int]  # of each contender: some seconds' work
    streams: Mapping[str, tuple[int, ...]]  # in memory, of each model
    sweep_s: float  # a batch and a graph


FULL = Plan(
    rounds=5,
    records={"service": 120_000, "per_record_loop": 8_000, "pass_through": 80_000, "quix": 15_000},
    streams={"gru_64": (1_000, 100_000, 1_000_000), "default_lstm_64": (1_000, 100_000, 1_000_000)},
    sweep_s=0.2,
)
QUICK = Plan(
    rounds=1,
    records={"service": 80_000, "per_record_loop": 6_000, "pass_through": 40_000, "quix": 10_000},
    streams={"gru_64": (1_000, 100_000, 1_000_000), "default_lstm_64": (1_000,)},
    sweep_s=0.06,
)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round: under a minute once the model is exported"
    )
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json", help="where the figures go")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    bundle = gru_bundle(BUILD / "bench")
    results = [*end_to_end(plan, bundle), *graphs(plan, bundle), *memory(plan)]
    write_json(results, arguments.json)
    print(f"written: {arguments.json}")
    return 0


def end_to_end(plan: Plan, bundle: Path) -> list[Result]:
    """The service beside the others, in turn, on one topic."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    with KafkaServer(heap="1g") as server:
        address = server.bootstrap_servers
        fill(address, "observations", max(plan.records.values()), STREAMS)
        for turn in range(plan.rounds):
            for name in NAMES:
                run = _contend(name, address, f"{name.replace('_', '-')}-{turn}", bundle, plan.records[name])
                runs[name].append(run)
                print(f"round {turn + 1}: {name} {run['rate']:,.0f} records/s", file=sys.stderr)
    return [*_compare(runs), *_by_stage([run["stages"] for run in runs["service"]])]


def graphs(plan: Plan, bundle: Path) -> list[Result]:
    """Rows a second by rows in a call."""
    rates = sweep(bundle, plan.sweep_s)
    show(
        "Graphs: rows/s by rows in a call (one thread)",
        ["rows in a call", "step", "forecast"],
        [[str(batch), f"{step:,.0f}", f"{forecast:,.0f}"] for batch, (step, forecast) in rates.items()],
        "every call is filled up to a multiple of 16 rows",
    )
    return [
        Result(f"{graph}_rows_{batch}", both[index], "rows/s")
        for batch, both in rates.items()
        for index, graph in enumerate(("step", "forecast"))
    ]


def memory(plan: Plan) -> list[Result]:
    """Bytes a stream, rows and index, by streams."""
    results, rows = [], []
    for model, specs in state_rows().items():
        for streams in plan.streams[model]:
            found = _run(["tests.bench.memory", str(streams)], json.dumps(specs))
            rows.append([model, f"{streams:,}", *(f"{found[key]:,.0f}" for key in ("row", "account", "resident"))])
            results.append(Result(f"memory_{model}_{streams}", found["account"], "bytes/stream"))
    show(
        "Memory: bytes a stream",
        ["model", "streams", "row", "allocated", "resident"],
        rows,
        "row: tensors and prefix; allocated: all rows, used or not, and the index; resident: as the system sees it",
    )
    return results


def _contend(name: str, address: str, sink: str, bundle: Path, records: int) -> dict[str, Any]:
    admin = KafkaBroker(address).admin()
    for topic in (sink, f"{sink}-dead"):
        admin.create_topic(topic, PARTITIONS)
    admin.close()
    return _run(["tests.bench.contender", name, address, "observations", sink, str(bundle), str(records)])


def _run(command: list[str], given: str = "") -> dict[str, Any]:
    """A module in a process of its own; the JSON of its last line."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _compare(runs: Mapping[str, list[dict[str, Any]]]) -> list[Result]:
    rates = {name: [float(run["rate"]) for run in found] for name, found in runs.items()}
    medians = {name: median(found) for name, found in rates.items()}
    cpu = {name: median(run["cpu_us"] for run in found) for name, found in runs.items()}
    ratios = {name: medians["service"] / value for name, value in medians.items() if name != "service"}
    show(
        f"End to end: GRU-64, 12 steps x 3 quantiles, JSON, {STREAMS:,} streams, real Kafka on the same machine",
        ["contender", "records/s", "lowest", "highest", "service is", "CPU us/record"],
        [
            [
                name,
                f"{medians[name]:,.0f}",
                f"{min(found):,.0f}",
                f"{max(found):,.0f}",
                f"{ratios[name]:.2f} x" if name in ratios else "",
                f"{cpu[name]:.1f}",
            ]
            for name, found in rates.items()
        ],
        "at least once for all; median of the rounds; CPU of all threads of the contender's process",
    )
    results = [Result(END_TO_END, medians["service"], "records/s", ratios, tuple(rates["service"]))]
    results += [Result(name, medians[name], "records/s", {}, tuple(rates[name])) for name in ratios]
    return results + [Result(f"cpu_{name}", value, "us/record") for name, value in cpu.items()]


def _by_stage(stages: list[dict[str, float]]) -> list[Result]:
    medians = {stage: median(run[stage] for run in stages) for stage in stages[0]}
    show(
        "The service by stage",
        ["stage", "us/record"],
        [[stage, f"{value:.2f}"] for stage, value in medians.items()],
        "wall clock of the polling thread; poll and commit include waiting for the broker",
    )
    return [Result(f"stage_{stage}", value, "us/record") for stage, value in medians.items()]


if __name__ == "__main__":
    sys.exit(main())
