"""Speed and memory of the monitor: `python -m tests.bench.monitor [STREAMS] [RECORDS_EACH]`.

Records of twelve leads and three quantiles, one of every stream in turns, as bytes in this
process: decoding, scoring and storing, without a broker.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.decode import Decoder, by_position
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.monitor import MonitorSettings

MINUTE, POLL = 60_000, 5_000


def records(streams: int, steps: int) -> Iterator[list[bytes]]:
    """Polls of records; the numbers are drawn once and shifted from step to step."""
    rng = np.random.default_rng(1)
    fan = np.round(rng.normal(20, 1, (12, 3)), 3).tolist()
    tail = json.dumps(
        {
            "model": "lstm@123456", "interval_ms": MINUTE, "quantiles": [0.1, 0.5, 0.9],
            "expected": fan[1], "error": 0.125, "one_step": fan[0], "multi_step": fan,
            "surprise": 0.731, "anomaly": 0.42, "warm": True,
        }
    )[1:].encode()  # fmt: skip
    poll: list[bytes] = []
    for step in range(steps):
        stamp = 1_700_000_000_000 + step * MINUTE
        for stream in range(streams):
            head = b'{"stream":"plant/%06d","timestamp":%d,"value":%.3f,'
            poll.append(head % (stream, stamp, 20 + (stream * 7 + step * 13) % 100 / 50) + tail)
            if len(poll) == POLL:
                yield poll
                poll = []
    if poll:
        yield poll


def main(streams: int, steps: int) -> None:
    """Print records/s of one core, and bytes a stream."""
    board = Board(MonitorSettings(max_streams=max(streams, 1)))
    decoder, process = Decoder(by_position), psutil.Process()
    before, count, spent = process.memory_info().rss, 0, 0.0
    for poll in records(streams, steps):
        times = np.full(len(poll), 1_700_000_000_000)
        keys: list[bytes | None] = [None] * len(poll)
        batch = PartitionBatch("forecasts", 0, keys, list(poll), times, np.arange(len(poll)))
        began = time.process_time()
        board.add(decoder.decode([batch]))
        spent += time.process_time() - began
        count += len(poll)
    grown = process.memory_info().rss - before
    print(f"{streams:,} streams, {count:,} records: {count / spent:,.0f} records/s of one core")
    print(f"{grown / streams:,.0f} bytes a stream so far, {board.row_bytes:,} with a full history")


if __name__ == "__main__":
    main(*([int(word) for word in sys.argv[1:]] + [100_000, 4][len(sys.argv) - 1 :]))
