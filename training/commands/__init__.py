"""The trainer's commands, a file each. Light to import: torch and polars load when a command runs."""

from training.commands.backtest import backtest
from training.commands.demo import demo
from training.commands.train import train

__all__ = ["backtest", "demo", "train"]
