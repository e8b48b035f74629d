"""The service beside the others, and beside itself without what makes it exact:
in turns, on one topic."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from kafka import KafkaAdminClient

from deploy.kafka import KafkaServer
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings
from tests.bench.contender import GARBAGE, NAMES, OTHERS, WAYS
from tests.bench.load import PARTITIONS, fill
from tests.bench.model import BUILD, default_bundle
from tests.bench.plan import Plan
from tests.bench.process import run
from tests.bench.report import Result, show

STREAMS = 10_000
END_TO_END = "end_to_end_at_least_once"
Runs = Mapping[str, list[dict[str, Any]]]


def throughput(plan: Plan, bundle: Path) -> list[Result]:
    """Records a second of all, what exactly once costs, and where the service's time goes."""
    runs = in_turns(NAMES, plan, bundle)
    return [
        *_compare(runs),
        *_cost("gru_64", runs),
        *_by_stage([found["stages"] for found in runs["service"]]),
    ]


def throughput_of_default(plan: Plan, _bundle: Path) -> list[Result]:
    """Cost of exactly once for the trainer's default model, whose row is nine times larger."""
    return _cost("default_lstm_64", in_turns(WAYS, plan, default_bundle(BUILD)))


def throughput_of_garbage(plan: Plan, bundle: Path) -> list[Result]:
    """Throughput of records without any observation, beside that of good ones."""
    good = "exactly_once"
    runs = in_turns((good, GARBAGE), plan, bundle)
    rates = {name: rates_of(runs, name) for name in runs}
    ratios = tuple(bad / well for bad, well in zip(rates[GARBAGE], rates[good], strict=True))
    show(
        "Garbage: every record is a dead letter, exactly once, "
        f"{STREAMS:,} keys, real Kafka on the same machine",
        ["records", "records/s", "lowest", "highest", "CPU us/record"],
        [
            [label, *spread(rates[name]), f"{median(found['cpu_us'] for found in runs[name]):.1f}"]
            for name, label in ((good, "good"), (GARBAGE, "garbage"))
        ],
        f"garbage is drained at {median(ratios):.2f} x the speed of good records, round by round",
    )
    return [
        Result("garbage", median(rates[GARBAGE]), "records/s", {}, rates[GARBAGE]),
        Result("garbage_to_good", median(ratios), "times", {}, ratios),
    ]


def in_turns(names: Sequence[str], plan: Plan, bundle: Path) -> Runs:
    """The reports of each contender, by name, in rounds over one topic; `bytes` in them is the size
    of a record of its sink on the broker."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with KafkaServer(heap="1g") as server:
        address = server.bootstrap_servers
        fill(address, "observations", max(plan.records[name] for name in names), STREAMS)
        if GARBAGE in names:
            fill(address, GARBAGE, plan.records[GARBAGE], STREAMS, b"temperature")
        for turn in range(plan.rounds):
            for name in names:
                sink, records = f"{name.replace('_', '-')}-{turn}", plan.records[name]
                found = _contend(name, address, sink, bundle, records)
                runs[name].append(found | {"bytes": _stored_bytes(address, sink) / records})
                print(f"round {turn + 1}: {name} {found['rate']:,.0f} records/s", file=sys.stderr)
    return runs


def _stored_bytes(address: str, topic: str) -> int:
    """Bytes of a topic's segments on the broker."""
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        described: list[dict[str, Any]] = admin.describe_log_dirs()
    return sum(
        int(partition["partition_size"])
        for broker in described
        for directory in broker["log_dirs"]
        for found in directory["topics"]
        if found["name"] == topic
        for partition in found["partitions"]
    )


def _contend(name: str, address: str, sink: str, bundle: Path, records: int) -> dict[str, Any]:
    admin = KafkaBroker(KafkaSettings(bootstrap_servers=address)).admin()
    for topic in (sink, f"{sink}-dead"):
        admin.create_topic(topic, PARTITIONS)
    admin.close()
    source = GARBAGE if name == GARBAGE else "observations"
    return run(["tests.bench.contender", name, address, source, sink, str(bundle), str(records)])


def rates_of(runs: Runs, name: str) -> tuple[float, ...]:
    """Records a second of each round."""
    return tuple(float(found["rate"]) for found in runs[name])


def spread(rates: Sequence[float]) -> list[str]:
    """Median, minimum and maximum."""
    return [f"{value:,.0f}" for value in (median(rates), min(rates), max(rates))]


def _compare(runs: Runs) -> list[Result]:
    rates = {name: rates_of(runs, name) for name in ("service", *OTHERS)}
    medians = {name: median(found) for name, found in rates.items()}
    cpu = {name: median(found["cpu_us"] for found in runs[name]) for name in rates}
    ratios = {
        name: medians["service"] / value for name, value in medians.items() if name != "service"
    }

    def row(name: str) -> list[str]:
        factor = f"{ratios[name]:.2f} x" if name in ratios else ""
        return [name, *spread(rates[name]), factor, f"{cpu[name]:.1f}"]

    show(
        "End to end: GRU-64, 12 steps x 3 quantiles, JSON, "
        f"{STREAMS:,} streams, real Kafka on the same machine",
        ["contender", "records/s", "lowest", "highest", "service is", "CPU us/record"],
        [row(name) for name in rates],
        "at least once for all; median of the rounds; "
        "CPU of all threads of the contender's process",
    )
    results = [Result(END_TO_END, medians["service"], "records/s", ratios, rates["service"])]
    results += [Result(name, medians[name], "records/s", {}, rates[name]) for name in ratios]
    return results + [Result(f"cpu_{name}", value, "us/record") for name, value in cpu.items()]


def _cost(model: str, runs: Runs) -> list[Result]:
    """Time a record, exactly once with rows in the changelog, beside the service that keeps none:
    round by round."""
    names = ("exactly_once", "service", "without_changelog")
    rates = {name: rates_of(runs, name) for name in names}
    plain = rates["without_changelog"]
    costs = {name: tuple(p / r for p, r in zip(plain, rates[name], strict=True)) for name in names}
    cpu = {name: median(found["cpu_us"] for found in runs[name]) for name in names}
    show(
        f"What exactly once costs: {model}, {STREAMS:,} streams, a commit every 100 ms",
        ["delivery", "records/s", "time a record", "CPU us/record"],
        [
            [
                label,
                f"{median(rates[name]):,.0f}",
                f"{median(costs[name]):.2f} x",
                f"{cpu[name]:.1f}",
            ]
            for name, label in zip(
                names,
                ("exactly once", "at least once", "at least once, no rows kept anywhere"),
                strict=True,
            )
        ],
        "no rows kept: no changelog, no way back in memory, "
        "offsets by the consumer's own commit; median of the rounds",
    )
    own = "" if model == "gru_64" else f"_{model}"
    return [
        Result(
            f"exactly_once_cost{own}",
            median(costs["exactly_once"]),
            "times",
            {},
            costs["exactly_once"],
        ),
        Result(f"at_least_once_cost{own}", median(costs["service"]), "times", {}, costs["service"]),
        *(
            Result(f"{n}{own}", median(rates[n]), "records/s", {}, rates[n])
            for n in names
            if own or n != "service"
        ),
        *(Result(f"cpu_{n}{own}", cpu[n], "us/record") for n in names if own or n != "service"),
    ]


def _by_stage(stages: list[dict[str, float]]) -> list[Result]:
    medians = {stage: median(found[stage] for found in stages) for stage in stages[0]}
    show(
        "The service by stage",
        ["stage", "us/record"],
        [[stage, f"{value:.2f}"] for stage, value in medians.items()],
        "wall clock of the polling thread; poll and commit include waiting for the broker",
    )
    return [Result(f"stage_{stage}", value, "us/record") for stage, value in medians.items()]
