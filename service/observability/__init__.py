"""Metrics, latencies, health and log."""
