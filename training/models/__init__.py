"""Forecasters: the contract of a family, the parts that all families share, and the built-in families."""

from training.models.cells import Cell
from training.models.contract import StepOutput, Target, Unrolled, View
from training.models.forecaster import Forecaster
from training.models.joint import Joint
from training.models.latent import Carried, Latent
from training.models.linear import LinearAutoregression
from training.models.memory.memory import MemorySpec
from training.models.mixture import Mixture
from training.models.naive import Naive, PointForecaster, SeasonalNaive
from training.models.quantiles.sorted_quantiles import around
from training.models.recurrent import LatentAutoregression, Recurrent
from training.models.seq2seq import SequenceToSequence

__all__ = [
    "Carried",
    "Cell",
    "Forecaster",
    "Joint",
    "Latent",
    "LatentAutoregression",
    "LinearAutoregression",
    "MemorySpec",
    "Mixture",
    "Naive",
    "PointForecaster",
    "Recurrent",
    "SeasonalNaive",
    "SequenceToSequence",
    "StepOutput",
    "Target",
    "Unrolled",
    "View",
    "around",
]
