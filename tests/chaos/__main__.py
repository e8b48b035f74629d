"""The proof of exactly once: python -m tests.chaos --faults 100 --seed 1 [--nodes 3] [--kinds kill,pause].

Ends with 0 only if no record was lost, doubled, altered or out of order, and no row of state differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import islice

from tests.chaos.driver import Result, run
from tests.chaos.fleet import WHOLE
from tests.chaos.proxy import site
from tests.chaos.schedule import draw_faults, kinds_for
from tests.chaos.table import is_clean, table
from tests.chaos.weakened import GUARDS, without

#: Faults in one run; each run has topics and workers of its own, and every fourth has many partitions.
_IN_A_RUN = 25
_PARTITIONS = (4, 4, 4, 32)


def main() -> int:
    """Run, print, and say by the exit code whether it holds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1, help="of the Kafka cluster")
    parser.add_argument("--partitions", type=int, help="of the input; none = 4, and 32 in every fourth run")
    parser.add_argument("--kinds", help="comma between; none = all that this cluster allows")
    parser.add_argument("--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once")
    parser.add_argument("--without", choices=GUARDS, help="a guard of the service: the proof has to fail then")
    asked = parser.parse_args()
    build = (without(asked.without) if asked.without else WHOLE).delivering(asked.delivery)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    faults = draw_faults(asked.faults, asked.seed, asked.kinds.split(",") if asked.kinds else kinds_for(asked.nodes))
    results: list[Result] = []
    with site(asked.nodes) as place:
        while chunk := list(islice(faults, _IN_A_RUN)):
            partitions = asked.partitions or _PARTITIONS[len(results) % len(_PARTITIONS)]
            print(f"run {len(results) + 1}: {len(chunk)} faults, {partitions} partitions", flush=True)
            seed = asked.seed * 1000 + len(results)
            results.append(run(place, chunk, seed, partitions, min(3, asked.nodes), build, _say))
            _explain(results[-1])
    print(table(results))
    return 0 if is_clean(results) else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _explain(result: Result) -> None:
    """What went wrong, with where to look."""
    for difference, fault in result.differences[:10]:
        after = "" if fault is None else f" after fault {fault.number} ({fault.kind})"
        print(f"{difference.kind}{after}: {str(difference.record)[:300]}")
    for words in result.failed:
        print(words)
    if result.stuck:
        print(f"STUCK: {result.stuck}")
    if result.differences or result.failed or result.stuck:
        print(f"{len(result.differences)} differences; logs in {result.logs}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
