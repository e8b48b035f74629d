"""Dashboard of accuracy and drift: scores of the service one step ahead, of the monitor by lead."""

from __future__ import annotations

from deploy.dashboards.panels import JOB, Dashboard, Panel, Prom, Variable
from deploy.dashboards.promql import ALL, quantile, rate

_BY_LEAD = '{model=~"$model", window="$window"}'
_LEGEND = "{{model}}, lead {{lead}}"
MODEL = Variable("model", "model", "label_values(eddycast_monitor_scored, model)", all=True)
WINDOW = Variable("window", "window", "label_values(eddycast_monitor_scored, window)")


def score(name: str, warm: str = "true") -> str:
    """Mean of a score by target."""
    of, by = f'warm="{warm}", job="$job"', "sum by (target)"
    total = f'{by} (rate(eddycast_score_total{{score="{name}", {of}}}[$__rate_interval]))'
    return f"{total} / {by} (rate(eddycast_scored_total{{{of}}}[$__rate_interval]))"


ACCURACY = Dashboard(
    "accuracy",
    "accuracy and drift",
    [
        Panel(
            "Does it beat the last value, one step ahead?",
            [Prom('job:eddycast_error_of_last_value:ratio1h{job="$job"}')],
            "none", "stat", 6, 4, (0.9, 1),
            about="Error divided by that of the last value, last hour. Below 1 it does.",
        ),
        Panel(
            "Do 80 % intervals hold 80 %?",
            [Prom('job:eddycast_covered_80:ratio1h{job="$job"}')],
            "percentunit", "stat", 6, 4, (0.7, 0.75), rising=False,
        ),
        Panel(
            "How old is the model?",
            [Prom(f"max(eddycast_model_age_seconds{ALL})")],
            "s", "stat", 6, 4, (30 * 86_400, 90 * 86_400),
            about="From the last reading that it was fitted on to the newest one served.",
        ),
        Panel(
            "Until when was it trained?",
            [Prom(f"1000 * max(eddycast_model_training_end_timestamp_seconds{ALL})")],
            "dateTimeAsIso", "stat", 6, 4,
        ),
        Panel(
            "How large is the error at each lead?",
            [Prom(f"eddycast_monitor_scaled_error{_BY_LEAD}", _LEGEND)],
            "none", about="In scales of each stream, so that units do not mix.",
        ),
        Panel(
            "Does it beat the last value at each lead?",
            [Prom(f"eddycast_monitor_error_of_last_value{_BY_LEAD}", _LEGEND)],
            "none", limits=(0.9, 1),
        ),
        Panel(
            "Do intervals hold what they should, at each lead?",
            [
                Prom(f"eddycast_monitor_coverage{_BY_LEAD}", _LEGEND),
                Prom(f"max(eddycast_monitor_nominal_coverage{_BY_LEAD})", "nominal"),
            ],
            "percentunit", most=1,
        ),
        Panel(
            "How many forecasts are these figures from?",
            [Prom(f"eddycast_monitor_scored{_BY_LEAD}", _LEGEND)], "short",
        ),
        Panel(
            "How do one-step errors compare?",
            [
                Prom(score("absolute_error"), "{{target}}"),
                Prom(score("last_value_absolute_error"), "{{target}}, last value"),
                Prom(score("pinball"), "{{target}}, pinball"),
            ],
            "none", about="Warm streams, in widths of their own 80 % intervals.",
        ),
        Panel(
            "Are one-step forecasts calibrated?",
            [
                Prom(score("covered_80"), "{{target}}, inside the 80 % interval"),
                Prom(score("pit"), "{{target}}, mean rank of readings, should be half"),
            ],
            "percentunit", most=1,
        ),
        Panel(
            "How do streams in their warm-up do?",
            [
                Prom(score("absolute_error", "false"), "{{target}}"),
                Prom(score("last_value_absolute_error", "false"), "{{target}}, last value"),
            ],
            "none",
        ),
        Panel(
            "Are readings more surprising than they were?",
            [
                Prom(f"avg(eddycast_surprise_mean{ALL})", "mean of the last turn"),
                Prom(quantile(0.5, "surprise"), "50%"),
                Prom(quantile(0.99, "surprise"), "99%"),
            ],
            "short", about="Nats. A level that rises and stays: the streams have changed.",
        ),
        Panel(
            "How many readings are anomalies?",
            [
                Prom(rate("anomalies_total"), "one in a thousand or rarer, a second"),
                Prom(
                    "rate(eddycast_monitor_anomalies_total[$__rate_interval])",
                    "beyond the monitor's threshold, a second",
                ),
            ],
            "cps",
        ),
        Panel(
            "When did the model change?",
            [Prom(f"max(eddycast_model_generation{ALL})", "change of the registry")], "short",
        ),
    ],
    (JOB, MODEL, WINDOW),
    ("now-24h", "now"),
)  # fmt: skip
