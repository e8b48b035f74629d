"""The metrics of a worker at one moment, from their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from eddycast.service.monitor.workers.quantiles import Buckets
from eddycast.service.observability.metric_kinds import METRIC_PREFIX

STARTED, RECORDS = "process_start_time_seconds", "records_total"
#: Metrics that are read, without their prefix, by the label that tells their samples apart.
_NUMBERS = (
    RECORDS, "forecasts_total", "partitions", "streams", "cold_streams", "restoring",
    "restore_left", "model_generation", "model_age_seconds",
    "model_training_end_timestamp_seconds",
)  # fmt: skip
_BY_LABEL = {
    "consumer_lag": "partition",
    "consumer_lag_seconds": "partition",
    "dead_letters_total": "error",
}
#: Histograms of seconds whose quantiles are shown, in this order; that with a stage last.
HISTOGRAMS = (
    "end_to_end_acknowledged_seconds", "end_to_end_committed_seconds", "service_seconds",
    "commit_seconds", "stage_seconds",
)  # fmt: skip
_MODEL = "model_info"
_READ = (
    STARTED,
    *(f"{METRIC_PREFIX}{name}" for name in (*_NUMBERS, *_BY_LABEL, _MODEL)),
    *(f"{METRIC_PREFIX}{name}_bucket" for name in HISTOGRAMS),
)
#: Most samples of one text, characters of a line that is read, and of a label that are kept.
SAMPLES, LINE, CHARACTERS = 20_000, 2_000, 200
#: Numbers from here on are left out, as no number is.
_LARGEST = float(1 << 53)


@dataclass(frozen=True, slots=True)
class Scrape:
    """Numbers by name, without the prefix of metrics."""

    taken_s: float  # monotonic
    numbers: Mapping[str, float]
    by_label: Mapping[str, Mapping[str, float]]
    #: By name and stage; the stage is "" where there is none.
    histograms: Mapping[tuple[str, str], Buckets]
    model: Mapping[str, str]  # labels of the model in service

    @property
    def started_s(self) -> float:
        """Time at which the process started, since 1970; 0 where it is unknown."""
        return self.numbers.get(STARTED, 0.0)


def parse_scrape(text: str, taken_s: float) -> Scrape:
    """The metrics in a worker's text. Raises ValueError for another text."""
    numbers: dict[str, float] = {}
    by_label: dict[str, dict[str, float]] = {}
    buckets: dict[tuple[str, str], dict[float, float]] = {}
    model: dict[str, str] = {}
    for sample in _samples(text):
        name = sample.name.removeprefix(METRIC_PREFIX)
        labels = {key: value[:CHARACTERS] for key, value in sample.labels.items()}
        if name in _BY_LABEL:
            by_label.setdefault(name, {})[labels.get(_BY_LABEL[name], "")] = sample.value
        elif name == _MODEL:
            model = labels
        elif (histogram := name.removesuffix("_bucket")) in HISTOGRAMS:
            key = histogram, labels.get("stage", "")
            buckets.setdefault(key, {})[float(labels.get("le", "nan"))] = sample.value
        else:
            numbers[name] = sample.value
    if RECORDS not in numbers:
        raise ValueError("there are no metrics of a worker at this port")
    histograms = {key: Buckets.of(found) for key, found in buckets.items()}
    return Scrape(taken_s, numbers, by_label, histograms, model)


def _samples(text: str) -> Iterator[Sample]:
    """Samples of the metrics that are read; those without a number are left out. Raises
    ValueError."""
    lines = [line for line in text.splitlines() if line.startswith(_READ) and len(line) < LINE]
    if len(lines) > SAMPLES:
        raise ValueError(f"there are more than {SAMPLES:,} metrics at this port")
    for family in text_string_to_metric_families("\n".join(lines)):
        yield from (sample for sample in family.samples if abs(sample.value) < _LARGEST)
