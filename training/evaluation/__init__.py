"""Backtests, metrics, baselines, reports."""
