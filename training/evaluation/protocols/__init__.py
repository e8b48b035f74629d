"""Protocols of a backtest, a file each; `registry.py` lists them."""
