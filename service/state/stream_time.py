"""Stream time of a partition, derived from its records,
and the latest stamp that a record may carry.

A single stamp may be wrong, so stream time is the largest stamp that other readings confirm:

    stamp                                       effect
    within `leap` of the stream time            confirmed: stream time = max of both, trust + 1
    further away, trust left                    contradicted: stream time stays, trust - 1
    further away, no trust left, and the one    stream time jumps to the nearer of the two, which
    before was as well, on the same side        confirm each other

One record therefore never moves the stream time by more than `leap`; nor do several, unless they
outnumber the readings that confirmed it (up to FULL). After an outage the stream time jumps once as
many readings have arrived as there was trust; until then no stream is evicted, so nothing is lost.
A wrong stream time is corrected in the same way.

Everything here is a fold over records and does not depend on poll boundaries.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from eddycast.service.records import LAST_TIMESTAMP, Int64, PartitionBatch

#: Maximum trust: so many contradictions in a row are always enough.
FULL = 1_000


class Clock(NamedTuple):
    """A partition's time as of one of its records. -1 = not known yet."""

    newest: int = -1  # stream time, ms
    trust: int = 0  # confirmations less contradictions, 0 to FULL
    rival: int = -1  # the previous stamp if it was contradicted, ms
    record_time: int = -1  # broker time of the last record that has one, ms
    record_offset: int = -1  # offset of that record


def advance(clock: Clock, stamps: Int64, leap: int) -> tuple[Int64, Clock]:
    """Return the stream time after each reading, int64 [n], and the clock after the last.

    `stamps` int64 [n] and `leap` in ms.
    """
    if not len(stamps):
        return stamps, clock
    first = clock.newest if clock.newest >= 0 else int(stamps[0])
    times = np.maximum(np.maximum.accumulate(stamps), first)
    before = np.concatenate([[first], times[:-1]])
    if (abs(stamps - before) <= leap).all():
        trust = min(clock.trust + len(stamps), FULL)
        return times, clock._replace(newest=int(times[-1]), trust=trust, rival=-1)
    return _one_by_one(clock, stamps, leap)


def _one_by_one(clock: Clock, stamps: Int64, leap: int) -> tuple[Int64, Clock]:
    """Apply the table at the top of this file to each stamp in turn."""
    newest, trust, rival = clock.newest, clock.trust, clock.rival
    times = np.empty(len(stamps), np.int64)
    for i, stamp in enumerate(stamps.tolist()):
        ahead = stamp - newest
        if newest < 0:
            newest, trust = stamp, 1
        elif -leap <= ahead <= leap:
            newest, trust, rival = max(newest, stamp), min(trust + 1, FULL), -1
        else:
            trust = max(trust - 1, 0)
            if trust == 0 and rival >= 0 and (rival > newest) == (ahead > 0):
                newest, trust = (min(stamp, rival) if ahead > 0 else max(stamp, rival)), 1
            rival = stamp
        times[i] = newest
    return times, clock._replace(newest=newest, trust=trust, rival=rival)


def with_record_time(clock: Clock, batch: PartitionBatch) -> Clock:
    """Return the clock with the broker time of the batch's last record that has one."""
    timed = np.flatnonzero(batch.timestamps >= 0)
    if not len(timed):
        return clock
    last = timed[-1]
    return clock._replace(
        record_time=int(batch.timestamps[last]), record_offset=int(batch.offsets[last])
    )


def latest_stamps(clock: Clock, times: Int64, offsets: Int64, far_future: int) -> Int64:
    """Return the largest stamp that each record may carry, int64 [n], ms.

    `times` [n] are the broker times of the records, ms, -1 = none; `offsets` [n] their offsets. The
    limit is `far_future` ms after the record's broker time. A record without one may be
    `far_future` ms later than the last record that has one, for each offset between them: a sender
    without times is never locked out, and one record gains nothing. If no record ever had a time
    there is no limit.
    """
    if (times >= 0).all():
        base, steps = times, np.ones(len(times), np.int64)
    else:
        known = np.maximum.accumulate(np.where(times >= 0, np.arange(len(times)), -1))
        base = np.where(known >= 0, times[known], clock.record_time)
        steps = np.maximum(offsets - np.where(known >= 0, offsets[known], clock.record_offset), 1)
    # computed in float64, which cannot overflow and is exact below LAST_TIMESTAMP
    room = np.minimum(steps.astype(np.float64) * far_future, float(LAST_TIMESTAMP)).astype(np.int64)
    return np.where(base >= 0, np.minimum(base, LAST_TIMESTAMP - room) + room, LAST_TIMESTAMP)
