"""Series for each alert, of an hour or more: one at which it fires and one, nearly the same, at
which it does not. Values are a minute apart, in promtool's notation."""

from __future__ import annotations

from typing import NamedTuple

#: One worker and its job.
A, B = '{job="eddycast", instance="a"}', '{job="eddycast", instance="b"}'
Series = dict[str, str]


class Case(NamedTuple):
    """An alert, and when it is looked at."""

    alert: str
    at: str
    fires: Series
    quiet: Series


def labelled(labels: str, **more: str) -> str:
    """Labels with more of them."""
    return f"{labels[:-1]}, " + ", ".join(f'{k}="{v}"' for k, v in more.items()) + "}"


def buckets(slow: int) -> Series:
    """A histogram of 100 forecasts a minute, of which `slow` take more than ten seconds."""
    name = "eddycast_end_to_end_acknowledged_seconds_bucket"
    fast = {labelled(A, le=edge): f"0+{100 - slow}x120" for edge in ("0.5", "10")}
    return {name + labels: values for labels, values in fast.items()} | {
        name + labelled(A, le=edge): "0+100x120" for edge in ("30", "+Inf")
    }


def scores(score: str, a_minute: float) -> Series:
    """The sum of a score of a hundred forecasts a minute."""
    labels = labelled(A, target="value", warm="true")
    return {
        f"eddycast_score_total{labelled(labels, score=score)}": f"0+{a_minute}x180",
        f"eddycast_scored_total{labels}": "0+100x180",
    }


def of_lead(name: str, value: float, window: str) -> Series:
    """A figure of the monitor."""
    labels = f'{{job="eddycast-monitor", model="m@1", lead="24", window="{window}"}}'
    return {f"eddycast_monitor_{name}{labels}": f"{value}x180"}


def states(silent: int) -> Series:
    """A hundred streams, some of them silent."""
    return {
        f'eddycast_monitor_streams{{job="eddycast-monitor", state="{state}"}}': f"{count}x60"
        for state, count in (("warm", 100 - silent), ("cold", 0), ("silent", silent))
    }


RECORDS, FORECASTS = "eddycast_records_total", "eddycast_forecasts_total"
PARTITION = labelled(A, partition="0")
CASES = [
    Case(
        "EddycastForecastsStopped", "20m",
        {RECORDS + A: "0+60x60", FORECASTS + A: "600x60"},
        {RECORDS + A: "600x60", FORECASTS + A: "600x60",
         "eddycast_consumer_lag_seconds" + PARTITION: "0x60"},
    ),
    Case(
        "EddycastForecastsStopped", "20m",
        {RECORDS + A: "600x60", FORECASTS + A: "600x60",
         "eddycast_consumer_lag_seconds" + PARTITION: "0+60x60"},
        {RECORDS + A: "0+60x60", FORECASTS + A: "0+60x60"},
    ),
    Case("EddycastNotReady", "20m", {"eddycast_ready" + A: "0x60"}, {"eddycast_ready" + A: "1x60"}),
    Case(
        "EddycastNotReady", "20m",
        {"eddycast_ready" + A: "0x60", "eddycast_ready" + B: "1x60"},
        {"eddycast_ready" + A: "1x10 0x2 1x60"},
    ),
    Case(
        "EddycastCommitsFail", "20m",
        {"eddycast_retries_total" + labelled(A, error="BrokerUnavailable"): "0+5x60",
         "eddycast_commits_total" + A: "600x60"},
        {"eddycast_retries_total" + labelled(A, error="MembershipLost"): "0+5x60",
         "eddycast_commits_total" + A: "0+600x60"},
    ),
    Case(
        "EddycastWorkerLost", "30m",
        {"eddycast_ready" + A: "1x60", "eddycast_ready" + B: "1x10 stale"},
        {"eddycast_ready" + A: "1x60", "eddycast_ready" + B: "_x10 1x60"},
    ),
    Case(
        "EddycastWorkerLost", "30m",
        {"eddycast_ready" + A: "1x10 stale"},
        {"eddycast_ready" + A: "1x10 stale 1x60"},
    ),
    Case(
        "EddycastRecordsDeletedUnread", "20m",
        {"eddycast_deleted_unread_total" + A: "0x10 500x60"},
        {"eddycast_deleted_unread_total" + A: "500x60"},
    ),
    Case(
        "EddycastLagging", "20m",
        {"eddycast_consumer_lag_seconds" + PARTITION: "0+20x60"},
        {"eddycast_consumer_lag_seconds" + PARTITION: "0x5 300x2 0x60"},
    ),
    Case("EddycastSlow", "40m", buckets(slow=5), buckets(slow=0)),
    Case(
        "EddycastRestoreTooLong", "40m",
        {"eddycast_restoring" + A: "3x60"},
        {"eddycast_restoring" + A: "0x5 3x5 0x60"},
    ),
    Case(
        "EddycastDeadLetters", "30m",
        {RECORDS + A: "0+100x60",
         "eddycast_dead_letters_total" + labelled(A, error="not_json"): "0+5x60"},
        {RECORDS + A: "0+1000x60",
         "eddycast_dead_letters_total" + labelled(A, error="not_json"): "0+5x60"},
    ),
    Case("EddycastStreamsSilent", "40m", states(silent=20), states(silent=5)),
    Case(
        "EddycastTooManyStreams", "40m",
        {"eddycast_streams" + A: "95x60", "eddycast_max_streams" + A: "100x60"},
        {"eddycast_streams" + A: "95x60", "eddycast_max_streams" + A: "0x60"},
    ),
    Case(
        "EddycastTooManyStreams", "40m",
        {"eddycast_streams" + A: "0+10x60", "eddycast_max_streams" + A: "100x60"},
        {"eddycast_streams" + A: "50x60", "eddycast_max_streams" + A: "100x60"},
    ),
    Case(
        "EddycastMonitorLost", "20m",
        {'up{job="eddycast-monitor", instance="m"}': "0x60"},
        {'up{job="eddycast-monitor", instance="m"}': "1x60", "up" + A: "0x60"},
    ),
    Case(
        "EddycastWorseThanLastValue", "170m",
        scores("absolute_error", 40) | scores("last_value_absolute_error", 35),
        scores("absolute_error", 30) | scores("last_value_absolute_error", 35),
    ),
    Case(
        "EddycastLeadWorseThanLastValue", "90m",
        of_lead("error_of_last_value", 1.2, "hour"),
        of_lead("error_of_last_value", 1.2, "week") | of_lead("error_of_last_value", 0.8, "hour"),
    ),
    Case(
        "EddycastCoverageOff", "170m",
        scores("covered_80", 65), scores("covered_80", 75),
    ),
    Case("EddycastCoverageOff", "170m", scores("covered_80", 95), scores("covered_80", 85)),
    Case(
        "EddycastLeadCoverageOff", "90m",
        of_lead("coverage", 0.6, "day") | of_lead("nominal_coverage", 0.8, "day"),
        of_lead("coverage", 0.85, "day") | of_lead("nominal_coverage", 0.9, "day"),
    ),
    Case(
        "EddycastModelOld", "90m",
        {"eddycast_model_age_seconds" + A: "8000000x120"},
        {"eddycast_model_age_seconds" + A: "7000000x120"},
    ),
    Case(
        "EddycastModelRefused", "20m",
        {"eddycast_model_refused_total" + A: "0x10 1x60"},
        {"eddycast_model_refused_total" + A: "1x60"},
    ),
    Case(
        "EddycastModelsDiffer", "40m",
        {"eddycast_model_generation" + A: "3x60", "eddycast_model_generation" + B: "2x60"},
        {"eddycast_model_generation" + A: "3x60", "eddycast_model_generation" + B: "2x5 3x60"},
    ),
    Case(
        "EddycastRegistryFails", "60m",
        {"eddycast_registry_failures_total" + labelled(A, problem="unavailable"): "0+5x120"},
        {"eddycast_registry_failures_total" + labelled(A, problem="unavailable"): "0x10 3x120"},
    ),
]  # fmt: skip
