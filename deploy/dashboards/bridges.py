"""Dashboard of bridges: what `eddycast feed` takes, refuses and holds back."""

from __future__ import annotations

from deploy.dashboards.panels import Dashboard, Panel, Prom


def _each(name: str) -> str:
    """Increase a second of a counter of every bridge."""
    return f"sum by (job, instance) (rate(eddycast_feed_{name}[$__rate_interval]))"


BRIDGES = Dashboard(
    "bridges",
    "bridges",
    [
        Panel(
            "How many records does each bridge write?",
            [Prom(_each("records_total"), "{{instance}}")], "cps",
            about="Records, messages or lines of the source that Kafka has acknowledged.",
        ),
        Panel(
            "How many readings are in them?",
            [Prom(_each("readings_total"), "{{instance}}")], "cps",
        ),
        Panel(
            "What does not get through?",
            [
                Prom(_each("dead_letters_total"), "{{instance}}: dead letters"),
                Prom(_each("refused_total"), "{{instance}}: refused"),
                Prom(_each("filtered_total"), "{{instance}}: filtered"),
            ],
            "cps", stacked=True,
            about="Dead letters cannot be read, refused requests were answered with the reason, "
            "and filtered readings are passed over as the settings say.",
        ),
        Panel(
            "How much waits?", [Prom("eddycast_feed_waiting", "{{instance}}")], "short",
            about="Messages, requests or records of the source that are not yet written.",
        ),
    ],
    variables=(),
)  # fmt: skip
