"""Dashboard of one worker in depth."""

from __future__ import annotations

from deploy.dashboards.panels import JOB, Dashboard, Panel, Prom, Variable
from deploy.dashboards.promql import mean, quantile, rate

WORKER = Variable("worker", "worker", 'label_values(eddycast_ready{job="$job"}, instance)')
_ONE = '{job="$job", instance="$worker"}'


def _so_far(name: str) -> str:
    """Mean of what a histogram has observed since the worker started; 0 if nothing."""
    return f"eddycast_{name}_sum{_ONE} / clamp_min(eddycast_{name}_count{_ONE}, 1)"


WORKER_IN_DEPTH = Dashboard(
    "worker",
    "one worker",
    [
        Panel("Is it ready?", [Prom(f"eddycast_ready{_ONE}")], "short", "stat", 4, 4, (1,), False),
        Panel(
            "How many partitions does it hold?", [Prom(f"eddycast_partitions{_ONE}")],
            "short", "stat", 4, 4,
        ),
        Panel(
            "How many does it restore?", [Prom(f"eddycast_restoring{_ONE}")],
            "short", "stat", 4, 4, (1,),
        ),
        Panel(
            "How full is it?",
            [Prom(f"eddycast_streams{_ONE} / eddycast_max_streams{_ONE}")],
            "percentunit", "stat", 4, 4, (0.7, 0.9),
        ),
        Panel(
            "Which change of the registry does it serve?",
            [Prom(f"eddycast_model_generation{_ONE}")], "short", "stat", 4, 4,
        ),
        Panel(
            "Has it refused models?", [Prom(f"eddycast_model_refused_total{_ONE}")],
            "short", "stat", 4, 4, (1,),
        ),
        Panel(
            "Which stage takes the time?",
            [Prom(rate("stage_seconds_sum", "stage", _ONE), "{{stage}}")], "s", stacked=True,
        ),
        Panel(
            "How far behind is it?",
            [Prom(f"eddycast_consumer_lag_seconds{_ONE}", "{{partition}}")],
            "s", limits=(10, 60),
        ),
        Panel(
            "What does it try again, and why?",
            [Prom(f"{rate('retries_total', 'error', _ONE)} or vector(0)", "{{error}}")],
            "cps", stacked=True,
        ),
        Panel(
            "How long are its commits and steps?",
            [
                Prom(quantile(0.99, "commit_seconds", _ONE), "a commit, 99%"),
                Prom(mean("service_seconds", selector=_ONE), "a record, mean"),
            ],
            "s",
        ),
        Panel(
            "How many streams does it hold?",
            [
                Prom(f"eddycast_streams{_ONE}", "all"),
                Prom(f"eddycast_cold_streams{_ONE}", "in their warm-up"),
                Prom(f"eddycast_max_streams{_ONE}", "limit"),
            ],
            "short",
        ),
        Panel(
            "How much memory does it use?",
            [
                Prom(f"process_resident_memory_bytes{_ONE}", "the process"),
                Prom(f"eddycast_state_bytes{_ONE}", "rows of streams"),
            ],
            "bytes",
        ),
        Panel(
            "How do restores go on?",
            [
                Prom(f"eddycast_restore_left{_ONE}", "records left"),
                Prom(
                    f"rate(eddycast_restored_records_total{_ONE}[$__rate_interval])",
                    "records a second",
                ),
            ],
            "short",
        ),
        Panel(
            "How long were restores and switches of models?",
            [
                Prom(
                    _so_far("restore_seconds"),
                    "restore of a partition, mean",
                ),
                Prom(
                    _so_far("switch_seconds"),
                    "switch, mean",
                ),
            ],
            "s",
        ),
        Panel(
            "Does it see the registry?",
            [Prom(rate("registry_failures_total", "problem", _ONE), "{{problem}}")],
            "cps", stacked=True,
        ),
        Panel(
            "What does the operating system give it?",
            [
                Prom(f"rate(process_cpu_seconds_total{_ONE}[$__rate_interval])", "cores"),
                Prom(f"process_open_fds{_ONE}", "open files"),
            ],
            "short",
        ),
    ],
    (JOB, WORKER),
)  # fmt: skip
