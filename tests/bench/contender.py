"""One contender in a process of its own: `python -m tests.bench.contender NAME ADDRESS SOURCE SINK
BUNDLE RECORDS`.

Prints one line of JSON: records a second, CPU microseconds a record,
and (the service) microseconds by stage.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.forms import FORMS

#: The service at least once, exactly once, and without rows in a changelog (`served.py`).
WAYS = ("service", "exactly_once", "without_changelog")
#: `exactly_once`, on a long topic.
BACKLOG = "backlog"
#: The service, exactly once, on records of which none is an observation.
GARBAGE = "garbage"
OTHERS = ("per_record_loop", "pass_through", "quix")
#: Copies records, exactly once, by the C client.
LIBRDKAFKA = "librdkafka"
NAMES = (*WAYS, *OTHERS)


def main(name: str, address: str, source: str, sink: str, bundle: str, records: str) -> None:
    """Run one; only what it needs is imported."""
    arguments = (address, source, sink, Path(bundle), int(records))
    stages: dict[str, float] = {}
    if name in FORMS or name == BACKLOG:
        from tests.bench import served

        report, stages = served.exactly_once(*arguments, FORMS.get(name, {}))
    elif name in (*WAYS, GARBAGE):
        from tests.bench import served

        report, stages = getattr(served, name)(*arguments)
    else:
        from tests.bench import baselines

        report = getattr(baselines, name)(*arguments)
    print(json.dumps({**report, "stages": stages}))


if __name__ == "__main__":
    main(*sys.argv[1:])
