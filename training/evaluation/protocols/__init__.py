"""Protocols of a backtest, a file each; `table.py` lists them."""
