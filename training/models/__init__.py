"""Forecasters: what each family remembers and how its quantiles follow from that."""

from training.models.forecaster import Forecaster, StepOutput, Target, Unrolled
from training.models.joint import Joint
from training.models.linear import LinearAutoregression
from training.models.mixture import Mixture
from training.models.naive import Naive, SeasonalNaive
from training.models.recurrent import LatentAutoregression, Recurrent
from training.models.seq2seq import SequenceToSequence

__all__ = [
    "Forecaster",
    "Joint",
    "LatentAutoregression",
    "LinearAutoregression",
    "Mixture",
    "Naive",
    "Recurrent",
    "SeasonalNaive",
    "SequenceToSequence",
    "StepOutput",
    "Target",
    "Unrolled",
]
