"""Calls of a graph, with a time limit for graphs with control flow."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer
from typing import Any

import onnxruntime
from numpy.typing import NDArray

#: Time limit of one call of a graph with If or Loop, s.
LIMIT_S = 5.0

Tensor = NDArray[Any]
Call = Callable[[onnxruntime.InferenceSession, list[str], dict[str, Tensor]], list[Tensor]]


def call(
    session: onnxruntime.InferenceSession, outputs: list[str], feeds: dict[str, Tensor]
) -> list[Tensor]:
    """Run a graph once; return its outputs in the order of `outputs`."""
    results: list[Tensor] = session.run(outputs, feeds)
    return results


def guarded_call(
    session: onnxruntime.InferenceSession, outputs: list[str], feeds: dict[str, Tensor]
) -> list[Tensor]:
    """Like `call`, but raises onnxruntime's error after LIMIT_S.

    onnxruntime checks the terminate flag before every node, including those inside loops.
    """
    options = onnxruntime.RunOptions()
    timer = Timer(LIMIT_S, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        results: list[Tensor] = session.run(outputs, feeds, options)
    finally:
        timer.cancel()
    return results
