"""Forecasters: the contract of a family, the parts that all families share,
and the built-in families."""

from eddycast.training.models.cells import Cell
from eddycast.training.models.contract import StepOutput, Target, Unrolled, View
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.joint import Joint
from eddycast.training.models.latent import Carried, Latent
from eddycast.training.models.linear import LinearAutoregression
from eddycast.training.models.memory.memory import MemorySpec
from eddycast.training.models.mixture import Mixture
from eddycast.training.models.naive import Naive, PointForecaster, SeasonalNaive
from eddycast.training.models.quantiles.sorted_quantiles import around
from eddycast.training.models.recurrent import LatentAutoregression, Recurrent
from eddycast.training.models.seq2seq import SequenceToSequence

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
