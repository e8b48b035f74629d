"""Custom families, `mine.py:Mine` or `package.module:Mine`:
loading, fitting, and checking the invariants.

`training/models/contract.py` is the contract of such a class. An exception in it becomes a
FamilyError of one line, with the part of the stack trace that lies in the author's file.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eddycast.service.errors import EddycastError, FamilyError
from eddycast.training.export.invariants import INVARIANTS
from eddycast.training.export.invariants.outputs import bounded_row, shapes
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.recurrent import (
    Schedule,
    TrainingProgress,
    fit_recurrent,
    no_progress,
)
from eddycast.training.fitting.residuals import fit_offsets
from eddycast.training.models import Forecaster
from eddycast.training.models.naive import PointForecaster


@dataclass(frozen=True)
class CustomFamily:
    """A custom family: its `name` as given, its class, and the file of that class."""

    name: str
    made: Any  # a class: Mine(target) is a Forecaster
    file: str

    @property
    def schedule(self) -> Schedule:
        """Hyperparameters of the gradient fit: the class's `schedule`, or the defaults."""
        own: Schedule = getattr(self.made, "schedule", Schedule())
        return own

    @property
    def fits_itself(self) -> bool:
        """The class has a classmethod `fit`, which may need a validation part."""
        return getattr(self.made, "fit", None) is not None

    @contextmanager
    def at(self, moment: str) -> Iterator[None]:
        """Context that turns any other exception into a FamilyError,
        `moment` being when it happened."""
        try:
            yield
        except EddycastError:
            raise
        except Exception as error:
            raise failure(f"{self.name} fails {moment}", error, self.file) from error


def is_custom(family: str) -> bool:
    """True for a name that consists of a file or module and a class."""
    return ":" in family


def load_custom(family: str) -> CustomFamily:
    """Import a custom family. Raises FamilyError if there is no such file, module or class,
    or the import fails."""
    place, _, name = family.rpartition(":")
    path = Path(place)
    if path.suffix == ".py" and not path.is_file():
        raise FamilyError(f"there is no file {place}", "give --family FILE.py:CLASS")
    file = str(path.resolve()) if path.suffix == ".py" else place
    try:
        module = _module(path) if path.suffix == ".py" else _importable(place)
    except Exception as error:
        raise failure(f"{place} cannot be imported", error, file) from error
    made = getattr(module, name, None)
    if not isinstance(made, type):
        raise FamilyError(f"{place} has no class {name!r}", "give --family FILE.py:CLASS")
    if not issubclass(made, Forecaster):
        raise FamilyError(
            f"{name} in {place} is not a Forecaster",
            "make it a subclass of eddycast.training.models.Forecaster",
        )
    if "family" not in vars(made):
        made.family = name
    if "revision" not in vars(made):  # an inherited one does not cover the changes of this class
        made.revision = None
    return CustomFamily(family, made, getattr(module, "__file__", None) or file)


def fit_custom(
    own: CustomFamily, problem: Problem, schedule: Schedule, report: TrainingProgress = no_progress
) -> Forecaster:
    """Fit a custom family by its own `fit`, or by gradients if it has parameters. A PointForecaster
    gets its quantiles from its errors, unless its `fit` has set them. Raises FamilyError if the
    class fails."""
    torch.manual_seed(schedule.seed)
    fit: Callable[[Problem, Schedule], Forecaster] | None = getattr(own.made, "fit", None)
    if fit is not None:
        with own.at("in its fit"):
            fitted = fit(problem, schedule)
        if not isinstance(fitted, Forecaster):
            raise FamilyError(
                f"{own.name}: fit returned {type(fitted).__name__}, not a Forecaster",
                "return the fitted forecaster",
            )
        if isinstance(fitted, PointForecaster) and not fitted.offsets_multi.any():
            fit_offsets(fitted, problem, Memories(problem, fitted.memory.spec))
        return fitted.eval()
    with own.at("when it is made"):
        model: Forecaster = own.made(problem.target)
        shapes(model.eval())
    with own.at("in training"):
        if any(parameter.requires_grad for parameter in model.parameters()):
            columns = problem.columns(model.memory.spec)
            fit_recurrent(model, problem, columns, schedule, report)
        if isinstance(model, PointForecaster):
            fit_offsets(model, problem, Memories(problem, model.memory.spec))
    return model.eval()


def check_invariants(own: CustomFamily, model: Forecaster, row_limit: int) -> None:
    """Raises FamilyError (InvariantBroken) for the first invariant that the forecaster breaks."""
    with own.at("in a check of the invariants"), torch.no_grad():
        bounded_row(model, row_limit)
        for invariant in INVARIANTS:
            if invariant is not bounded_row:
                invariant(model)


def failure(what: str, error: Exception, file: str) -> FamilyError:
    """A FamilyError of one line, from the root cause of `error`,
    with the stack trace from the author's `file` on."""
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    words = str(root).strip().splitlines() or [""]
    frames = traceback.extract_tb(error.__traceback__)
    inside = next((i for i, frame in enumerate(frames) if frame.filename == file), None)
    trace = "" if inside is None else "".join(traceback.format_list(frames[inside:]))
    return FamilyError(
        f"{what}: {type(root).__name__}: {words[0]}".rstrip(": "), "docs/forecasters.md", trace
    )


def _module(path: Path) -> object:
    """The module in a file, which need not be on the import path."""
    spec = importlib.util.spec_from_file_location(f"eddycast_own_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _importable(name: str) -> object:
    """A module by name, also from the working directory, as `python -m` finds it."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)
