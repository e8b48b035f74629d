"""Speed of restoring rows from a changelog on a real broker, and their memory."""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

from deploy.kafka import KafkaServer
from tests.bench.changelogs import PARTITIONS, codec, fill_changelog
from tests.bench.model import state_rows
from tests.bench.plan import Log, Plan
from tests.bench.process import run
from tests.bench.report import Result, show
from tests.bench.specs import Spec, row_bytes


def restoring(plan: Plan) -> list[Result]:
    """Fill each log, restore it by whole batches,
    and where the plan includes it through the public poll."""
    results, rows, sizes = [], [], set()
    for log in plan.logs:
        tensors = state_rows()[log.model]
        specs = [Spec(name, dtype, shape) for name, dtype, shape in tensors]
        with KafkaServer(heap="1g") as server:
            address = server.bootstrap_servers
            fill_changelog(address, "changelog", specs, log.streams, log.versions)
            ways = ("bulk", "public") if log.public else ("bulk",)
            found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            for _ in range(plan.rounds if log.public else 1):
                for way in ways:
                    command = ["tests.bench.restored", address, "changelog", way, str(log.streams)]
                    found[way].append(run(command, json.dumps(tensors)))
                    print(
                        f"restored {log} {way}: {found[way][-1]['seconds']:.2f} s", file=sys.stderr
                    )
        sizes.add(f"{log.model} {row_bytes(specs)} and {codec(specs).row_bytes} bytes")
        rows += [_row(log, way, runs) for way, runs in found.items()]
        results += _results(log, found)
    show(
        f"Restore: rows read from a changelog of {PARTITIONS} partitions on the same machine",
        [
            "live rows x times written",
            "read by",
            "rows/s",
            "live/s",
            "s",
            "CPU us/row",
            "bytes/stream",
        ],
        rows,
        "from assigned to ready; bytes/stream: what the process has grown by at most, the "
        f"client's buffers included; a row and its record: {'; '.join(sorted(sizes))}",
    )
    return results


def _middle(runs: list[dict[str, Any]], key: str) -> float:
    return median(float(found[key]) for found in runs)


def _row(log: Log, way: str, runs: list[dict[str, Any]]) -> list[str]:
    seconds, records = _middle(runs, "seconds"), runs[0]["records"]
    return [
        f"{log.model}: {log.streams:,} x {log.versions}",
        "whole batches" if way == "bulk" else "public poll",
        f"{records / seconds:,.0f}",
        f"{log.streams / seconds:,.0f}",
        f"{seconds:.2f}",
        f"{_middle(runs, 'cpu_s') / records * 1e6:.1f}",
        f"{_middle(runs, 'peak'):,.0f}",
    ]


def _results(log: Log, found: dict[str, list[dict[str, Any]]]) -> list[Result]:
    """`restore_MODEL_STREAMS_xVERSIONS`, with how many times the public poll's rate it is."""
    name = f"restore_{log.model}_{log.streams}_x{log.versions}"
    rates = {way: [run["records"] / run["seconds"] for run in runs] for way, runs in found.items()}
    fast = median(rates["bulk"])
    ratios = {"public_poll": fast / median(rates["public"])} if "public" in rates else {}
    bulk = found["bulk"]
    return [
        Result(name, fast, "rows/s", ratios, tuple(rates["bulk"])),
        Result(f"{name}_seconds", _middle(bulk, "seconds"), "s"),
        Result(f"{name}_cpu", _middle(bulk, "cpu_s") / bulk[0]["records"] * 1e6, "us/row"),
        Result(f"{name}_resident", _middle(bulk, "resident"), "bytes/stream"),
        Result(f"{name}_peak", _middle(bulk, "peak"), "bytes/stream"),
    ]
