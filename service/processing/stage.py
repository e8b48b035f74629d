"""Stages of the work, for whoever measures them: decode, gather, step and so on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

#: Callable (name) -> context manager, entered around each stage of the work,
#: for example to measure time.
Stage = Callable[[str], AbstractContextManager[None]]

_NOTHING = nullcontext()


def no_stage(_name: str) -> AbstractContextManager[None]:
    """A `Stage` that does nothing."""
    return _NOTHING
