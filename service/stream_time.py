"""The time of a partition, by what its own records say: how late it is, and how late a record may claim that it is.

Every stamp is a claim. A partition's stream time is the largest stamp that others bear out:

    within `leap` of the stream time, before or after   borne out: the larger of both counts, trust grows by one
    further away                                        contradicted: trust falls by one, the stream time stays
    further away, and no trust is left                  of two such claims in a row on one side, the nearer one is the
                                                        new stream time: both bear it out

So one record never takes the stream time further than `leap` from what others say, nor do any number of them that are
fewer than those that bore it out, up to FULL. After an outage it takes as many readings as there was trust until the
stream time has jumped, and nothing is lost by that: no stream is forgotten in the meantime. One that is wrong is put
right in the same way.

Everything here is a function of records alone, one after the other: it does not depend on where polls were cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.observation import LAST_TIMESTAMP
from service.records import Int64, PartitionBatch

#: Trust does not grow beyond this: so many contradictions in a row are always enough.
FULL = 1_000


class Clock(NamedTuple):
    """What is known of a partition's time, as of one of its records. -1 stands for what is not known yet."""

    newest: int = -1  # the stream time, ms
    trust: int = 0  # claims that bore it out, less those that contradicted it since; 0 to FULL
    rival: int = -1  # the claim before, if it contradicted it, ms
    record_time: int = -1  # of the last record that had a time of its own, ms
    record_offset: int = -1  # of the same record


def followed(clock: Clock, stamps: Int64, leap: int) -> tuple[Int64, Clock]:
    """The stream time after each of these readings, int64 [n], and the clock after the last."""
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
    """The rule at the top of this file, where it is not the same for all."""
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


def heard(clock: Clock, batch: PartitionBatch) -> Clock:
    """The clock after these records, observations or not, as far as their own times go."""
    timed = np.flatnonzero(batch.timestamps >= 0)
    if not len(timed):
        return clock
    last = timed[-1]
    return clock._replace(record_time=int(batch.timestamps[last]), record_offset=int(batch.offsets[last]))


def latest_stamps(clock: Clock, times: Int64, offsets: Int64, far_future: int) -> Int64:
    """The largest stamp that each record may have, int64 [n], ms. `times` are the records' own, -1 where one has none.

    That is `far_future` after the record's own time. One without may be `far_future` after the last record before it
    that has a time, and as much again for every offset between them: who sends no times can go on for as long as it
    likes, and one record gains nothing by it. Where no record ever had a time there is nothing to compare with.
    """
    if (times >= 0).all():
        base, steps = times, np.ones(len(times), np.int64)
    else:
        known = np.maximum.accumulate(np.where(times >= 0, np.arange(len(times)), -1))
        base = np.where(known >= 0, times[known], clock.record_time)
        steps = np.maximum(offsets - np.where(known >= 0, offsets[known], clock.record_offset), 1)
    # as floats, since it must not overflow; exact where it matters
    room = np.minimum(steps.astype(np.float64) * far_future, float(LAST_TIMESTAMP)).astype(np.int64)
    return np.where(base >= 0, np.minimum(base, LAST_TIMESTAMP - room) + room, LAST_TIMESTAMP)
