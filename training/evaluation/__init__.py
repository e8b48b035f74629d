"""Evaluation: backtests by protocol, metrics, baselines, reports and pictures."""
