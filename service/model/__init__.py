"""Load, verify and run bundles."""
