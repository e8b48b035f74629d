"""Calls of a graph, with a time limit where the graph decides itself when it ends."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer
from typing import Any

import onnxruntime
from numpy.typing import NDArray

#: A call of a graph with If or Loop ends after so long, s; any other one ends by itself.
LIMIT_S = 5.0

Tensor = NDArray[Any]
Call = Callable[[onnxruntime.InferenceSession, list[str], dict[str, Tensor]], list[Tensor]]


def call(session: onnxruntime.InferenceSession, outputs: list[str], feeds: dict[str, Tensor]) -> list[Tensor]:
    """The outputs of one call."""
    results: list[Tensor] = session.run(outputs, feeds)
    return results


def guarded_call(session: onnxruntime.InferenceSession, outputs: list[str], feeds: dict[str, Tensor]) -> list[Tensor]:
    """The same, and the runtime's error once LIMIT_S are over: it looks at the flag before every node, those inside a
    loop too."""
    options = onnxruntime.RunOptions()
    timer = Timer(LIMIT_S, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        results: list[Tensor] = session.run(outputs, feeds, options)
    finally:
        timer.cancel()
    return results
