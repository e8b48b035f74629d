"""Every metric, once: name, type, unit, meaning, and what to do when it rises. docs/metrics.md is this file, printed.

Nothing is ever labelled by stream: a million streams would be a million series. Where a turn measures many records at
once, `Distribution.observe_many` (distribution.py) takes the whole column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.observability.histogram import Distribution

PREFIX = "eddycast_"
#: The path of a record, in its order; the values of the label `stage`.
STAGES = (
    "poll", "decode", "align", "waves", "gather", "step", "scatter", "forecast", "encode", "produce", "commit",
)  # fmt: skip
#: What became of a reading; the values of the label `verdict`.
VERDICTS = ("first", "next", "gap", "reset", "duplicate", "second", "late", "restart")
#: 100 us to 60 s.
SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
ANOMALOUS = 0.999  # of a reading that counts as an anomaly
SURPRISE = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)


class Definition(NamedTuple):
    """One line of the table. `rises` is what an operator does when it does."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str
    rises: str


class Metrics:
    """All metrics of one service, registered in `registry`. Written by the polling thread, read by the HTTP thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.table: list[Definition] = []
        self._held: set[int] = set()
        self._define_flow()
        self._define_state()
        self._define_time()
        self._define_quality()

    def _define_flow(self) -> None:
        self.records = self._counter(
            "records_total", "records", "Records taken from the input topic.", "More is being sent."
        )
        self.forecasts = self._counter(
            "forecasts_total", "forecasts", "Forecasts acknowledged by the broker.", "As the records do."
        )
        self.dead_letters = self._counter(
            "dead_letters_total",
            "records",
            "Records that could not be forecast, by the reason's short word.",
            "The log names one of each kind a minute, with what to do; the headers in the dead-letter topic name all.",
            "error",
        )
        self.readings = self._counter(
            "readings_total",
            "readings",
            f"Readings by what became of them in stream time: {', '.join(VERDICTS)}.",
            "gap, reset: sensors or a link drop out. duplicate, second: a sender repeats itself or is faster than the "
            "model's grid. late, restart: a clock is wrong or a buffer is sent out of order.",
            "verdict",
        )
        self.tombstones = self._counter(
            "tombstones_total",
            "records",
            "Records with a key and no value: the streams of their keys are forgotten.",
            "Somebody decommissions sensors.",
        )
        self.missing_codes = self._counter(
            "missing_codes_total",
            "values",
            "Readings that equal a code for a missing value, and were taken as missing.",
            "A sensor or its logger fails: look which one. If the number is a reading, drop it with input.codes.",
        )
        self.imputed_steps = self._counter(
            "imputed_steps_total",
            "steps",
            "Steps without a reading, inside a gap.",
            "Readings go missing before they get here.",
        )
        self.commits = self._counter(
            "commits_total", "commits", "Commits of the input's offsets.", "About one an interval."
        )
        self.retries = self._counter(
            "retries_total",
            "turns",
            "Turns rolled back and done again, by the error's class.",
            "Look at the broker and the network; with delivery at_least_once outputs since the last commit repeat.",
            "error",
        )
        self.changelog_rows = self._counter(
            "changelog_rows_total",
            "rows",
            "Rows and tombstones committed to the changelog.",
            "At most the records; far fewer where a commit holds several of a stream.",
        )
        self.deleted_unread = self._counter(
            "deleted_unread_total",
            "offsets",
            "Offsets of the input that retention deleted before they were read, and that were passed over.",
            "Forecasts are missing: lengthen retention.ms of the input, or do not stop for so long.",
        )
        self.consumer_lag = self._gauge(
            "consumer_lag",
            "records",
            "Records between position and end, of each partition held; before a first fetch, as of the restore.",
            "Records come faster than they are served: add an instance, up to one a partition, or look at the stages.",
            "partition",
        )
        self.partitions = self._gauge(
            "partitions", "partitions", "Partitions of the input held now.", "Another instance left."
        )

    def _define_state(self) -> None:
        self.streams = self._gauge(
            "streams", "streams", "Streams with a row of state.", "New streams: check the keys if not so."
        )
        self.max_streams = self._gauge(
            "max_streams",
            "streams",
            "Streams that this process gives a row, at most: state.max_streams, or what its memory has room for.",
            "Alert where streams come near it: new ones beyond it are dead letters, too_many_streams.",
        )
        self.state_bytes = self._gauge(
            "state_bytes", "bytes", "Memory of the rows.", "It grows by doubling; plan for it."
        )
        self.evicted = self._counter(
            "evicted_total",
            "streams",
            "Streams forgotten because they were idle.",
            "Sensors died, or time.state_ttl_s is short.",
        )
        self.restoring = self._gauge(
            "restoring", "partitions", "Partitions held whose rows are still being restored.", "After a rebalance only."
        )
        self.restore_left = self._gauge(
            "restore_left", "records", "Records of the changelog still to be read for them.", "It should fall."
        )
        self.restored = self._counter(
            "restored_records_total",
            "records",
            "Records of the changelog read to restore rows.",
            "Many rebalances; or far more records than streams, from a changelog that is not compacted.",
        )
        self.restore_seconds = self._distribution(
            "restore_seconds",
            "seconds",
            "From a partition assigned to its rows restored.",
            "More rows, a slow broker, or a transaction left open that had to run out.",
            SECONDS,
        )
        self.ready = self._gauge("ready", "0 or 1", "1 while a forecast could be committed now.", "0: /ready says why.")
        self.model_info = self._gauge(
            "model_info",
            "1",
            "1; its labels name the model in service.",
            "Does not rise.",
            "model",
            "version",
            "family",
        )

    def _define_time(self) -> None:
        self.stage_seconds = self._distribution(
            "stage_seconds",
            "seconds",
            "Time of one turn in each stage of a record's path.",
            "The stage that grew is where to look; poll includes waiting for records.",
            SECONDS,
            "stage",
        )
        self.step_batch_rows = self._distribution(
            "step_batch_rows",
            "rows",
            "Rows in one call of the step graph.",
            "Fuller calls are cheaper a row; many of one row mean many records of one stream in a turn.",
            ROWS,
        )
        self.commit_seconds = self._distribution(
            "commit_seconds", "seconds", "Time of one commit.", "The broker is slow or far.", SECONDS
        )
        self.service_seconds = self._distribution(
            "service_seconds",
            "seconds",
            "From polled to forecast acknowledged, of each record.",
            "We or the broker are slow: see stage_seconds.",
            SECONDS,
        )
        self.acknowledged_seconds = self._distribution(
            "end_to_end_acknowledged_seconds",
            "seconds",
            "From the record's broker time to its forecast acknowledged, of each record.",
            "If service_seconds did not rise with it, records wait in the topic: see consumer_lag.",
            SECONDS,
        )
        self.committed_seconds = self._distribution(
            "end_to_end_committed_seconds",
            "seconds",
            "From the record's broker time to its offset committed, of each record.",
            "As above; at least commit.interval_ms at times.",
            SECONDS,
        )

    def _define_quality(self) -> None:
        self.scored = self._counter(
            "scored_total",
            "forecasts",
            "One-step forecasts that met an observation, by target.",
            "As the records do.",
            "target",
        )
        self.score = self._counter(
            "score_total",
            "widths",
            "Sum of each score of the one-step forecasts: divide by scored_total for the mean. Errors and pinball are "
            "in widths of the 80 % interval that the stream is given after the reading, so that streams of all units "
            "add up, and one counts for 10 at most; covered_80 and pit are shares. covered_80 should come to 0.8, "
            "absolute_error to about a third, and to less than last_value_absolute_error.",
            "A mean that rises against last_value_absolute_error: the streams have changed, train again.",
            "target",
            "score",
        )
        self.surprise = self._distribution(
            "surprise",
            "nats",
            "Minus log density of what came under the one-step forecast, in units of the stream's scale; within 100.",
            "Streams behave as never seen: a fault in the field, or time to train again.",
            SURPRISE,
        )
        self.surprise_mean = self._gauge(
            "surprise_mean", "nats", "Mean surprise of the latest turn.", "As surprise does."
        )
        self.anomalies = self._counter(
            "anomalies_total",
            "readings",
            f"Readings whose anomaly is {ANOMALOUS:g} or more: one in a thousand where nothing is wrong.",
            "Something happens to the streams: their records name them.",
        )

    def hold(self, partitions: Collection[int], lag: Mapping[int, int]) -> None:
        """Report how many partitions are held, and the lag of those of which it is known; others disappear."""
        self.partitions.set(len(partitions))
        for gone in self._held - set(lag):
            self.consumer_lag.remove(str(gone))
        self._held = set(lag)
        for partition, records in lag.items():
            self.consumer_lag.labels(str(partition)).set(records)

    def _counter(self, name: str, unit: str, meaning: str, rises: str, *labels: str) -> Counter:
        self.table.append(Definition(PREFIX + name, "counter", unit, labels, meaning, rises))
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, unit: str, meaning: str, rises: str, *labels: str) -> Gauge:
        self.table.append(Definition(PREFIX + name, "gauge", unit, labels, meaning, rises))
        return Gauge(PREFIX + name, meaning, labels, registry=self.registry)

    def _distribution(
        self, name: str, unit: str, meaning: str, rises: str, upper: Sequence[float], label: str = ""
    ) -> Distribution:
        self.table.append(Definition(PREFIX + name, "histogram", unit, (label,) if label else (), meaning, rises))
        return Distribution(self.registry, PREFIX + name, meaning, upper, label)
