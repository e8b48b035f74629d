"""Extent of each measurement: full, or quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.forms import FORMS


@dataclass(frozen=True)
class Log:
    """A changelog to be restored: rows of `model`, each written `versions` times."""

    model: str
    streams: int
    versions: int
    public: bool = False  # read through the client's public poll, too


@dataclass(frozen=True)
class Plan:
    """One run of the benchmark."""

    rounds: int
    records: Mapping[str, int]  # of each contender: some seconds' work
    logs: tuple[Log, ...]
    rebalances: int  # a worker joins and leaves so often
    streams: Mapping[str, tuple[int, ...]]  # in memory, of each model
    sweep_s: float  # a batch and a graph
    latency_s: float  # of load, for each delivery


FULL = Plan(
    rounds=5,
    records={
        "service": 120_000,
        "exactly_once": 120_000,
        "without_changelog": 120_000,
        "garbage": 120_000,
        "backlog": 600_000,
        "librdkafka": 600_000,
        **dict.fromkeys(FORMS, 30_000),
        "per_record_loop": 8_000,
        "pass_through": 80_000,
        "quix": 15_000,
    },
    logs=(
        Log("gru_64", 200_000, 1, public=True),
        Log("gru_64", 1_000_000, 1),
        Log("gru_64", 200_000, 5),
        Log("default_lstm_64", 200_000, 1, public=True),
    ),
    rebalances=5,
    streams={"gru_64": (1_000, 100_000, 1_000_000), "default_lstm_64": (1_000, 100_000, 1_000_000)},
    sweep_s=0.2,
    latency_s=30.0,
)
QUICK = Plan(
    rounds=1,
    records={
        "service": 80_000,
        "exactly_once": 80_000,
        "without_changelog": 80_000,
        "garbage": 80_000,
        "backlog": 200_000,
        "librdkafka": 200_000,
        **dict.fromkeys(FORMS, 20_000),
        "per_record_loop": 6_000,
        "pass_through": 40_000,
        "quix": 10_000,
    },
    logs=(Log("gru_64", 100_000, 1, public=True),),
    rebalances=1,
    streams={"gru_64": (1_000, 100_000, 1_000_000), "default_lstm_64": (1_000,)},
    sweep_s=0.06,
    latency_s=10.0,
)
