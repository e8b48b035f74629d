"""Load a bundle: read, verify and replay it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from eddycast.service.bundle import FORECAST, GOLDEN, JUMP, STEP
from eddycast.service.errors import BundleError
from eddycast.service.model import golden, graph
from eddycast.service.model.golden_file import read_golden
from eddycast.service.model.manifest_file import read_bundle
from eddycast.service.model.runtime import Runtime
from eddycast.service.sealing.trust import Trust


def load_runtime(
    directory: Path, *, intra_op_threads: int = 1, max_batch: int = 512, trust: Trust | None = None
) -> Runtime:
    """Return the verified runtime of a bundle.

    `max_batch` is the maximum number of rows per call: with a small GRU a row costs 15 us in a call
    of 16 rows, 3 us in one of 512, and no less in larger ones.

    `trust` restricts version and signers and allows further operators. If these include If or Loop,
    every call has a time limit (`model/watchdog.py`), because nothing else bounds it.

    Raises BundleError with the file, what was expected and what was found: a hash, external data, a
    custom operator domain, a forbidden operator, a tensor or call beyond the limits
    (`model/graph_limits.py`), inputs or outputs that differ from the contract, or results that
    differ from golden.npz.
    """
    directory = Path(directory)
    trust = trust or Trust()
    manifest, files = read_bundle(directory, trust)
    graphs = [
        graph.read_step(directory / STEP, files[STEP], manifest, trust.operators),
        graph.read_forecast(directory / FORECAST, files[FORECAST], manifest, trust.operators),
    ]
    if manifest.jumps:
        jump = graph.read_jump(directory / JUMP, files[JUMP], manifest, trust.operators)
        graphs.append(jump)
    wanted = read_golden(directory / GOLDEN, files[GOLDEN], manifest)
    steps, batch = wanted["timestamp"].shape
    for one in graphs:
        one.check_cost(max_batch, steps, batch)
    sessions = [_session(one.path, one.content, intra_op_threads) for one in graphs]
    guarded = any(one.has_control_flow for one in graphs)
    runtime = Runtime(manifest, *sessions, max_batch=max_batch, guarded=guarded)
    golden.verify(directory, runtime, wanted)
    return runtime


def _session(path: Path, content: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Create a session for many small calls: few threads, no spinning between calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors are raised as exceptions anyway
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no public base
        raise BundleError(
            str(path), "a graph that onnxruntime runs", str(error).splitlines()[0]
        ) from error
