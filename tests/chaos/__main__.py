"""The proof of exactly once: python -m tests.chaos --faults 100 --nodes 1,3 --seed 1.

As many faults on each cluster, and a table for each. Exits with 0 only if on none of them a record
was lost, doubled, altered or out of order, and no row of state differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice

from tests.chaos.driver import Result, run
from tests.chaos.fleet import WHOLE, Build
from tests.chaos.proxy import site
from tests.chaos.schedule import draw_faults, kinds_for
from tests.chaos.shapes import GATHERED, MAPPED, PLAIN, SCHEMA, Shape, avro
from tests.chaos.table import is_clean, table
from tests.chaos.weakened import GUARDS, without
from tests.support.schema_registry import SchemaRegistryServer

#: Faults in one run at most; each run has topics and workers of its own,
#: and every second one has many partitions.
_IN_A_RUN = 25
_PARTITIONS = (4, 32)


def main() -> int:
    """Run and print; the exit code is 0 if exactly once holds."""
    asked = _asked()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    build = (without(asked.without) if asked.without else WHOLE).delivering(asked.delivery)
    results = []
    for nodes in asked.nodes:
        results.append(_disturbed(nodes, asked, build))
        shape = f"{', mapped' * asked.mapped}{', Avro' * asked.avro}{', gathered' * asked.gathered}"
        _say(
            f"\n{_nodes(nodes)}, seed {asked.seed}, delivery {asked.delivery}{shape}\n"
            f"{table(results[-1])}"
        )
    return 0 if all(map(is_clean, results)) else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--faults", type=int, default=100, help="on each cluster")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--nodes", type=_counts, default=[1], help="of each cluster, comma between: 1,3"
    )
    parser.add_argument(
        "--partitions", type=int, help="of the input; none = 4, and 32 in every second run"
    )
    parser.add_argument("--kinds", help="comma between; none = all that the cluster allows")
    parser.add_argument(
        "--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once"
    )
    parser.add_argument(
        "--without", choices=GUARDS, help="a guard of the service: the proof has to fail then"
    )
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument(
        "--mapped", action="store_true", help="records of several readings, found by a mapping"
    )
    shapes.add_argument(
        "--avro", action="store_true", help="records in Avro, with a real schema registry"
    )
    parser.add_argument(
        "--gathered", action="store_true", help="readings are gathered by steps, and hold"
    )
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _nodes(count: int) -> str:
    return f"{count} node{'s' if count > 1 else ''}"


def _disturbed(nodes: int, asked: argparse.Namespace, build: Build) -> list[Result]:
    """All faults on one cluster, in two runs at least."""
    faults = draw_faults(
        asked.faults, asked.seed, asked.kinds.split(",") if asked.kinds else kinds_for(nodes)
    )
    in_a_run = min(_IN_A_RUN, -(-asked.faults // 2))
    results: list[Result] = []
    with site(nodes) as place, _shape(asked) as shape:
        while chunk := list(islice(faults, in_a_run)):
            partitions = asked.partitions or _PARTITIONS[len(results) % len(_PARTITIONS)]
            last = chunk[-1].number + 1
            _say(
                f"{_nodes(nodes)}: faults {chunk[0].number + 1} to "
                f"{last} of {asked.faults}, {partitions} partitions"
            )
            seed = asked.seed * 1000 + len(results)
            replication = min(3, nodes)
            results.append(
                run(place, chunk, seed, partitions, replication, build, _say, shape=shape)
            )
            _explain(results[-1])
    return results


@contextmanager
def _shape(asked: argparse.Namespace) -> Iterator[Shape]:
    """The shape that the options name, while what it needs is there."""
    shape = MAPPED if asked.mapped else PLAIN
    with ExitStack() as stack:
        if asked.avro:
            registry = SchemaRegistryServer()
            stack.callback(registry.stop)
            registry.start()
            shape = avro(registry.url, registry.register("chaos-value", SCHEMA))
        gathered = GATHERED if asked.gathered else {}
        yield replace(shape, settings={**shape.settings, **gathered})


def _say(line: str) -> None:
    print(line, flush=True)


def _explain(result: Result) -> None:
    """Descriptions of all that went wrong, with the files to look at."""
    for difference, fault in result.differences[:10]:
        after = "" if fault is None else f" after fault {fault.number + 1} ({fault.kind})"
        _say(f"{difference.kind}{after}: {str(difference.record)[:300]}")
    for words in result.failed:
        _say(words)
    if result.stuck:
        _say(f"STUCK: {result.stuck}")
    if result.differences or result.failed or result.stuck:
        _say(f"{len(result.differences)} differences; logs in {result.logs}")


if __name__ == "__main__":
    sys.exit(main())
