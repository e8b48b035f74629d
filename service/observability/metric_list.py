"""All metrics of the service: name, type, unit, meaning, and what to do when one rises.
docs/metrics.md is generated from this file, and from `monitor/figures.py` for the monitor.

No label names a stream: a million streams would be a million series. Measurements of many records
are observed as columns with `Distribution.observe_many` (`histogram.py`).
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from eddycast.service.observability.metric_kinds import (
    ROW_BUCKETS,
    SECOND_BUCKETS,
    SURPRISE_BUCKETS,
    Definitions,
)

#: Stages of a record's path, in order; values of the label `stage`.
STAGES = (
    "poll", "decode", "align", "waves", "gather", "step", "scatter", "forecast", "encode",
    "produce", "commit",
)  # fmt: skip
#: Verdicts on readings (`processing/alignment.py`); values of the label `verdict`.
VERDICTS = (
    *("first", "next", "gap", "reset", "duplicate", "second", "late"),
    *("restart", "gathered", "set_back"),
)
#: Reasons why a look at the registry fails (`registry/following.py`); values of `problem`.
REGISTRY_PROBLEMS = ("unavailable", "damaged", "restored")
#: The anomaly of a reading that is counted.
ANOMALOUS = 0.999


class MetricList(Definitions):
    """The metrics, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._define_records()
        self._define_progress()
        self._define_state()
        self._define_restores()
        self._define_time()
        self._define_quality()

    def _define_records(self) -> None:
        self.records = self._counter(
            "records_total", "records", "Records read from the input topic.", "Senders send more."
        )
        self.forecasts = self._counter(
            "forecasts_total",
            "forecasts",
            "Forecasts acknowledged by the broker.",
            "Like records_total.",
        )
        self.dead_letters = self._counter(
            "dead_letters_total",
            "readings",
            "Readings that could not be forecast, by kind of error; a record that cannot be read "
            "counts as one.",
            "See the log: each kind once a minute, with an example "
            "and what to do; the dead-letter topic has all.",
            "error",
        )
        self.readings = self._counter(
            "readings_total",
            "readings",
            f"Readings by verdict: {', '.join(VERDICTS)}.",
            "gap, reset: sensors or a link drop out; a night without rows is a gap, and reset "
            "forgets the stream, see time.state_ttl_s. duplicate, second: a "
            "sender repeats readings or is faster than the model's interval. "
            "late, set_back, restart: a clock is wrong or a buffer is sent out of order. "
            "gathered: with time.aggregate, the readings of a step beside the one that opened it.",
            "verdict",
            values=VERDICTS,
        )
        self.tombstones = self._counter(
            "tombstones_total",
            "records",
            "Records with a key and no value, which remove the stream of that key.",
            "Sensors are being decommissioned.",
        )
        self.missing_codes = self._counter(
            "missing_codes_total",
            "values",
            "Readings that equal a code for a missing value and were treated as missing.",
            "A sensor or its logger fails: find it. If the "
            "number is a valid reading, change input.codes.",
        )
        self.filtered = self._counter(
            "filtered_total",
            "readings",
            "Readings that the settings pass over: input.where, input.streams, and words among "
            "the fields of a record.",
            "Expected where input.where or input.streams is set; if everything is filtered, try "
            "the mapping with eddycast input try.",
        )
        self.imputed_steps = self._counter(
            "imputed_steps_total",
            "steps",
            "Steps without a reading, inside gaps; a jump over a long gap counts as one.",
            "Readings are lost before they reach the input topic, or sensors are slower than the "
            "model's interval, or report changes only: time.hold_s.",
        )
        self.held_steps = self._counter(
            "held_steps_total",
            "steps",
            "Steps inside gaps in which the reading before held, with time.hold_s.",
            "Expected of sensors that report changes.",
        )

    def _define_progress(self) -> None:
        self.commits = self._counter(
            "commits_total",
            "commits",
            "Commits of the input's offsets.",
            "About one per commit.interval_ms.",
        )
        self.retries = self._counter(
            "retries_total",
            "turns",
            "Turns rolled back and retried, by class of error.",
            "Check broker and network; with delivery at_least_once, "
            "outputs since the last commit are repeated.",
            "error",
        )
        self.changelog_rows = self._counter(
            "changelog_rows_total",
            "rows",
            "Rows and tombstones committed to the changelog.",
            "At most records_total; far fewer if a commit covers several records of a stream.",
        )
        self.deleted_unread = self._counter(
            "deleted_unread_total",
            "offsets",
            "Offsets of the input that retention deleted "
            "before they were read, and that were skipped.",
            "Forecasts are missing: increase retention.ms of the input, or keep downtime shorter.",
        )
        self.consumer_lag = self._gauge(
            "consumer_lag",
            "records",
            "Records between position and end of each partition "
            "held; as of the restore until the first fetch.",
            "Records arrive faster than they are served: add "
            "instances, up to one per partition, or see stage_seconds.",
            "partition",
        )
        self.consumer_lag_seconds = self._gauge(
            "consumer_lag_seconds",
            "seconds",
            "Longest time that a record of each partition held may have waited: since the broker's "
            "time of the last record read, or since nothing waited. 0 where nothing waits.",
            "Like consumer_lag. It keeps rising where nothing is read at all: see retries_total.",
            "partition",
        )
        self.partitions = self._gauge(
            "partitions", "partitions", "Partitions of the input held.", "Another instance left."
        )

    def _define_state(self) -> None:
        self.streams = self._gauge(
            "streams",
            "streams",
            "Streams with a row of state.",
            "New streams; if none are expected, check the keys.",
        )
        self.cold_streams = self._gauge(
            "cold_streams",
            "streams",
            "Those of the streams that are still in their warm-up; counted every ten seconds.",
            "New streams, or gaps so long that streams started over: see readings_total.",
        )
        self.max_streams = self._gauge(
            "max_streams",
            "streams",
            "Maximum number of streams of this process: "
            "state.max_streams, or what fits into its memory.",
            "Alert when streams approaches it: further new "
            "streams become dead letters (too_many_streams).",
        )
        self.state_bytes = self._gauge(
            "state_bytes",
            "bytes",
            "Memory of the state rows.",
            "It grows by doubling: plan for that.",
        )
        self.evicted = self._counter(
            "evicted_total",
            "streams",
            "Streams removed because they were idle.",
            "Sensors went silent, or time.state_ttl_s is too short.",
        )

    def _define_restores(self) -> None:
        self.restoring = self._gauge(
            "restoring",
            "partitions",
            "Partitions held whose rows are being restored.",
            "Expected after a rebalance only.",
        )
        self.restore_left = self._gauge(
            "restore_left",
            "records",
            "Changelog records still to be read by restores.",
            "It should fall during a restore.",
        )
        self.restored = self._counter(
            "restored_records_total",
            "records",
            "Changelog records read to restore rows.",
            "Many rebalances; or, with far more records than "
            "streams, a changelog that is not compacted.",
        )
        self.restore_seconds = self._distribution(
            "restore_seconds",
            "seconds",
            "Time from the assignment of a partition until its rows are restored.",
            "More rows, a slow broker, or an open transaction that had to time out.",
            SECOND_BUCKETS,
        )
        self.switch_seconds = self._distribution(
            "switch_seconds",
            "seconds",
            "Time of a switch to another champion of the registry, from the commit under the "
            "former one until all partitions held are served by the new one.",
            "Like restore_seconds: a switch restores the rows.",
            SECOND_BUCKETS,
        )
        self.ready = self._gauge(
            "ready",
            "0 or 1",
            "1 while forecasts can be committed.",
            "At 0, /ready gives the reason.",
        )
        self.model_info = self._gauge(
            "model_info",
            "1",
            "Always 1; the labels identify the model in service.",
            "It does not.",
            "model",
            "version",
            "family",
        )
        self._define_registry()

    def _define_registry(self) -> None:
        self.model_generation = self._gauge(
            "model_generation",
            "number",
            "Number of the registry's change whose champion is served; 0 without a registry.",
            "A model was promoted. If processes of a group differ for long, see their logs.",
        )
        self.model_training_end = self._gauge(
            "model_training_end_timestamp_seconds",
            "seconds",
            "Stamp of the last reading that the weights of the model in service were fitted on, "
            "since 1970; NaN if the bundle does not record it.",
            "A model was renewed.",
        )
        self.model_age = self._gauge(
            "model_age_seconds",
            "seconds",
            "Time from the end of the training data to the newest reading served, by the stamps of "
            "readings, so that a replay of old data has the age of its time.",
            "It rises until the model is trained again on newer data: see the scores for whether "
            "that is due.",
        )
        self.model_refused = self._counter(
            "model_refused_total",
            "models",
            "Newer champions of the registry that could not be loaded or do not fit.",
            "The former model is served on. The log has the reason: repair it, or roll back.",
        )
        self.registry_failures = self._counter(
            "registry_failures_total",
            "looks",
            "Looks at the registry that failed: unavailable, damaged, or restored from a backup.",
            "The present model is served on. Bring the registry back; after a restored backup, "
            "promote with --above.",
            "problem",
            values=REGISTRY_PROBLEMS,
        )

    def _define_time(self) -> None:
        self.stage_seconds = self._distribution(
            "stage_seconds",
            "seconds",
            "Time of one turn in each stage of a record's path.",
            "Investigate the stage that grew; poll includes waiting for records.",
            SECOND_BUCKETS,
            "stage",
        )
        self.step_batch_rows = self._distribution(
            "step_batch_rows",
            "rows",
            "Rows in one call of the step graph.",
            "Larger calls are cheaper per row; many calls with "
            "one row mean many records of one stream in a turn.",
            ROW_BUCKETS,
        )
        self.commit_seconds = self._distribution(
            "commit_seconds",
            "seconds",
            "Time of one commit.",
            "The broker is slow or far away.",
            SECOND_BUCKETS,
        )
        self.service_seconds = self._distribution(
            "service_seconds",
            "seconds",
            "Time from poll to acknowledged forecast, per record.",
            "The service or the broker is slow: see stage_seconds.",
            SECOND_BUCKETS,
        )
        self.acknowledged_seconds = self._distribution(
            "end_to_end_acknowledged_seconds",
            "seconds",
            "Time from the record's broker time to its acknowledged forecast, per record.",
            "If service_seconds did not rise as well, records wait in the topic: see consumer_lag.",
            SECOND_BUCKETS,
        )
        self.committed_seconds = self._distribution(
            "end_to_end_committed_seconds",
            "seconds",
            "Time from the record's broker time to its committed offset, per record.",
            "Like end_to_end_acknowledged_seconds; about commit.interval_ms more is normal.",
            SECOND_BUCKETS,
        )

    def _define_quality(self) -> None:
        self.scored = self._counter(
            "scored_total",
            "forecasts",
            "One-step forecasts that were scored against an "
            "observation, by target and by whether the stream is warm.",
            "Like records_total.",
            "target",
            "warm",
        )
        self.score = self._counter(
            "score_total",
            "widths",
            "Sum of each score of the one-step forecasts: divide by scored_total for "
            "the mean. Errors and pinball are in widths of the stream's 80 % "
            "interval after the reading, at most 10, so that streams of any unit add "
            "up; covered_80 and pit are fractions. Expected means: covered_80 0.8; "
            "absolute_error about a third, and less than last_value_absolute_error.",
            "If the mean rises relative to last_value_absolute_error, "
            "the streams have changed: train again.",
            "target",
            "score",
            "warm",
        )
        self.surprise = self._distribution(
            "surprise",
            "nats",
            "Negative log density of readings under the one-step "
            "forecast, in units of its stream's scale, within 100.",
            "Streams behave unlike the training data: a "
            "fault in the field, or time to train again.",
            SURPRISE_BUCKETS,
        )
        self.surprise_mean = self._gauge(
            "surprise_mean", "nats", "Mean surprise of the last turn.", "Like surprise."
        )
        self.anomalies = self._counter(
            "anomalies_total",
            "readings",
            f"Readings whose anomaly is {ANOMALOUS:g} or "
            "more: about one in a thousand of ordinary ones.",
            "The sensors see something new: the records with a high anomaly name the streams.",
        )
