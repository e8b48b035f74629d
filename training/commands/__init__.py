"""The trainer's commands, a file each. Light to import:
torch and polars load when a command runs."""

from eddycast.training.commands.backtest import backtest
from eddycast.training.commands.demo import demo
from eddycast.training.commands.retrain import retrain
from eddycast.training.commands.train import train

__all__ = ["backtest", "demo", "retrain", "train"]
