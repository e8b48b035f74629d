"""Quantiles: density, calibration, support."""
