"""The faults and their order: drawn from a seed, each kind as often as the others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.floods import FLOODS

#: A new worker kills itself there, as soon as it comes there by itself.
PLACES = (*(f"commit.{step}" for step in range(1, 8)), "assigned", "restoring", "reading")
#: Described in `faults.py`.
_ANYWHERE = (
    "kill",
    *PLACES,
    "revoked",
    "lost",
    "rolled_back",
    "promote",
    "rollback",
    "switch.2",
    "switch.3",
    "pause",
    "freeze",
    "add",
    "remove",
    "fence",
    "stall",
    "cut",
    *FLOODS,
)
_ONE_NODE, _CLUSTER = ("broker",), ("leader",)


def kinds_for(nodes: int) -> tuple[str, ...]:
    """Kinds of faults for a cluster of so many nodes:
    `broker` kills the only one, `leader` one of several."""
    return _ANYWHERE + (_CLUSTER if nodes > 1 else _ONE_NODE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `seed` decides what its kind leaves open: who, when, for how long."""

    number: int
    kind: str
    seed: int


def draw_faults(count: int, seed: int, kinds: Sequence[str]) -> Iterator[Fault]:
    """`count` faults: all kinds in some order, then all of them in another, and so on."""
    draw = random.Random(seed)
    bag: list[str] = []
    for number in range(count):
        if not bag:
            bag = draw.sample(kinds, len(kinds))
        yield Fault(number, bag.pop(), draw.randrange(1 << 32))
