"""Metrics, latencies, health, log."""
