"""Integrity of bundles: limits, parts, signatures and trust."""
