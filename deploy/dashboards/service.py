"""Dashboards of the service: overview, latency and throughput."""

from __future__ import annotations

from deploy.dashboards.panels import Dashboard, Panel, Prom
from deploy.dashboards.promql import ALL, mean, quantile, rate

_LATENCIES = (
    ("inside the service", "service_seconds"),
    ("from record to forecast", "end_to_end_acknowledged_seconds"),
    ("from record to commit", "end_to_end_committed_seconds"),
)


OVERVIEW = Dashboard(
    "overview",
    "overview",
    [
        Panel(
            "Is anything wrong?",
            [Prom('count(ALERTS{alertname=~"Eddycast.+", alertstate="firing"}) or vector(0)')],
            "short", "stat", 3, 4, (1, 3),
            about="Alerts that fire. docs/runbook.md has a heading for each.",
        ),
        Panel(
            "Which part of the workers is ready?",
            [Prom(f"avg(eddycast_ready{ALL})")],
            "percentunit", "stat", 3, 4, (0.5, 1), rising=False,
        ),
        Panel(
            "How long have records waited?",
            [Prom(f"max(eddycast_consumer_lag_seconds{ALL})")], "s", "stat", 4, 4, (10, 60),
        ),
        Panel(
            "How long does a forecast take, 99 in 100?",
            [Prom('job:eddycast_end_to_end_acknowledged_seconds:p99_5m{job="$job"}')],
            "s", "stat", 4, 4, (1, 5),
        ),
        Panel(
            "How many forecasts a second?", [Prom(rate("forecasts_total"))], "short", "stat", 3, 4
        ),
        Panel("How many streams?", [Prom(f"sum(eddycast_streams{ALL})")], "short", "stat", 3, 4),
        Panel(
            "How many records are dead letters?",
            [Prom('job:eddycast_dead_letters:ratio10m{job="$job"} or vector(0)')],
            "percentunit", "stat", 4, 4, (0.001, 0.01),
        ),
        Panel(
            "Do forecasts follow records?",
            [
                Prom(rate("records_total"), "records"),
                Prom(rate("forecasts_total"), "forecasts"),
            ],
            "cps",
        ),
        Panel(
            "What becomes of each reading, and why?",
            [Prom('job:eddycast_verdicts:rate5m{job="$job"}', "{{verdict}}: {{reason}}")],
            "cps", stacked=True,
            about="forecast: stepped and forecast. dropped: repeated, or a second one in a slot.",
        ),
        Panel(
            "How far behind is each partition?",
            [Prom(f"max by (partition) (eddycast_consumer_lag_seconds{ALL})", "{{partition}}")],
            "s", limits=(10, 60),
        ),
        Panel(
            "Why are records dead letters?",
            [Prom(f"{rate('dead_letters_total', 'error')} or vector(0)", "{{error}}")],
            "cps", stacked=True,
        ),
        Panel(
            "Are streams cold, warm or silent?",
            [Prom("sum by (state) (eddycast_monitor_streams)", "{{state}}")],
            "short", stacked=True,
            about="Of the monitor: silence is a matter of the clock.",
        ),
        Panel(
            "Is data missing before it arrives?",
            [
                Prom(rate("imputed_steps_total"), "steps without a reading"),
                Prom(rate("held_steps_total"), "steps in which a reading holds"),
                Prom(rate("missing_codes_total"), "codes for missing"),
                Prom(rate("filtered_total"), "filtered"),
                Prom(rate("tombstones_total"), "streams removed by senders"),
                Prom(rate("evicted_total"), "streams removed because idle"),
                Prom(rate("deleted_unread_total"), "deleted unread"),
            ],
            "cps",
        ),
        Panel(
            "Which model does each worker serve?",
            [Prom(f"eddycast_model_info{ALL}", now=True)], "short", "table",
        ),
        Panel(
            "How many workers hold how many partitions?",
            [
                Prom('job:eddycast_workers:count{job="$job"}', "workers"),
                Prom(f"sum(eddycast_partitions{ALL})", "partitions held"),
                Prom(f"sum(eddycast_restoring{ALL})", "being restored"),
            ],
            "short",
        ),
        Panel(
            "Does the monitor keep up?",
            [
                Prom("rate(eddycast_monitor_records_total[$__rate_interval])", "records a second"),
                Prom("eddycast_monitor_lag", "offsets behind"),
                Prom("eddycast_monitor_caught_up", "caught up"),
            ],
            "short",
        ),
        Panel(
            "What can the monitor not show?",
            [
                Prom("increase(eddycast_monitor_unreadable_total[1h])", "unreadable"),
                Prom("increase(eddycast_monitor_beyond_max_streams_total[1h])", "found no room"),
                Prom("increase(eddycast_monitor_dead_letters_total[1h])", "dead letters"),
            ],
            "short", about="Records of the last hour.",
        ),
    ],
)  # fmt: skip

LATENCY = Dashboard(
    "latency",
    "latency and throughput",
    [
        *(
            Panel(
                f"How long is it {what}?",
                [Prom(quantile(q, name), f"{q:.0%}") for q in (0.5, 0.9, 0.99)],
                "s", width=8, limits=(1, 5),
            )
            for what, name in _LATENCIES
        ),
        Panel(
            "How are latencies spread?",
            [Prom(rate("end_to_end_acknowledged_seconds_bucket", "le"), "{{le}}")], "s", "heatmap",
            about="From the broker's time of a record to its acknowledged forecast.",
        ),
        Panel(
            "Which stage takes the time?",
            [Prom(rate("stage_seconds_sum", "stage"), "{{stage}}")],
            "s", stacked=True,
            about="Seconds a second, all workers. poll includes waiting for records.",
        ),
        Panel(
            "How many records and forecasts a second?",
            [
                Prom(rate("records_total"), "records"),
                Prom(rate("forecasts_total"), "forecasts"),
                Prom(rate("changelog_rows_total"), "rows of the changelog"),
            ],
            "cps",
        ),
        Panel(
            "How long does a commit take?",
            [Prom(quantile(q, "commit_seconds"), f"{q:.0%}") for q in (0.5, 0.99)],
            "s", limits=(0.5, 2),
        ),
        Panel("How many commits a second?", [Prom(rate("commits_total"))], "cps"),
        Panel(
            "How many streams does one call of the model step?",
            [Prom(mean("step_batch_rows"), "mean"), Prom(quantile(0.9, "step_batch_rows"), "90%")],
            "short", about="Larger calls are cheaper for each stream.",
        ),
        Panel(
            "How many records wait?",
            [Prom(f"sum by (partition) (eddycast_consumer_lag{ALL})", "{{partition}}")],
            "short", stacked=True,
        ),
        Panel(
            "How much CPU do workers use?",
            [Prom(f"rate(process_cpu_seconds_total{ALL}[$__rate_interval])", "{{instance}}")],
            "short", about="1 is a whole core.",
        ),
    ],
)  # fmt: skip
