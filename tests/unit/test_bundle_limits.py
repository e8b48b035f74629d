"""A hostile bundle with valid hashes is refused in one line before it takes memory or time."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eddycast.service.__main__ import run
from eddycast.service.bundle import GOLDEN, MANIFEST, STEP
from eddycast.service.errors import BundleError
from eddycast.service.model import watchdog
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import manifest_version
from eddycast.service.sealing.trust import Trust
from tests.support.bundles import Parts, Walk, write_bundle

Damage = Callable[[Parts], None]


def refused(directory: Path, trust: Trust | None = None) -> BundleError:
    with pytest.raises(BundleError) as caught:
        load_runtime(directory, trust=trust)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    return caught.value


def spliced(parts: Parts, *nodes: onnx.NodeProto, **constants: Any) -> None:
    """Compute `surprise` from `surprise_was` with `nodes`."""
    graph = parts.step.graph
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for node in graph.node:
        for i, output in enumerate(node.output):
            if output == "surprise":
                node.output[i] = "surprise_was"
    graph.node.extend(nodes)


def summed(*front: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Add a tensor `large` that must be computed but does not affect the output."""
    return [
        *front,
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Sub", ["sum", "sum"], ["none"]),
        helper.make_node("Add", ["surprise_was", "none"], ["surprise"]),
    ]


def large_constant(parts: Parts) -> None:
    fill = helper.make_tensor("fill", TensorProto.FLOAT, [1], [1.0])
    spliced(
        parts,
        *summed(helper.make_node("ConstantOfShape", ["shape"], ["large"], value=fill)),
        shape=[10**6, 10**6],
    )


def large_expand(parts: Parts) -> None:
    spliced(
        parts,
        *summed(helper.make_node("Expand", ["one", "shape"], ["large"])),
        shape=[3 * 10**9],
        one=np.ones(1, np.float32),
    )


def grows_with_the_square_of_the_batch(parts: Parts) -> None:
    front = [
        helper.make_node("Shape", ["timestamp"], ["rows"]),
        helper.make_node("Concat", ["rows", "rows", "times"], ["shape"], axis=0),
        helper.make_node("Expand", ["one", "shape"], ["large"]),
    ]
    spliced(parts, *summed(*front), times=[4096], one=np.ones((1, 1, 1), np.float32))


def many_that_fit_alone(parts: Parts) -> None:
    nodes = [helper.make_node("Expand", ["one", "shape"], [f"large{i}"]) for i in range(64)]
    front = [*nodes, helper.make_node("Concat", [f"large{i}" for i in range(2)], ["large"], axis=0)]
    spliced(parts, *summed(*front), shape=[16_000_000], one=np.ones(1, np.float32))


def shape_from_values(parts: Parts) -> None:
    front = [
        helper.make_node("Cast", ["value"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["wide", "flat"], ["shape"]),
        helper.make_node("Expand", ["one", "shape"], ["large"]),
    ]
    spliced(parts, *summed(*front), flat=[-1], one=np.ones(1, np.float32))


def long_work(parts: Parts) -> None:
    square = [helper.make_node("Expand", ["one", "shape"], ["m0"])]
    square += [helper.make_node("MatMul", ["m0", f"m{i}"], [f"m{i + 1}"]) for i in range(4)]
    front = [*square, helper.make_node("Identity", ["m4"], ["large"])]
    spliced(parts, *summed(*front), shape=[4096, 4096], one=np.ones((1, 1), np.float32))


def long_scan(parts: Parts) -> None:
    """A cheap body, run two million times."""
    number = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Expand", ["body_one", "body_shape"], ["wide"]),
            helper.make_node("ReduceSum", ["wide"], ["total"], keepdims=0),
            helper.make_node("Add", ["carry", "total"], ["next_carry"]),
        ],
        "body",
        [number("carry", TensorProto.FLOAT, []), number("element", TensorProto.FLOAT, [])],
        [number("next_carry", TensorProto.FLOAT, [])],
    )
    front = [
        helper.make_node("Expand", ["body_one", "length"], ["sequence"]),
        helper.make_node("Scan", ["zero", "sequence"], ["large"], body=body, num_scan_inputs=1),
    ]
    constants = {"body_one": np.ones(1, np.float32), "body_shape": [10_000], "length": [2_000_000]}
    spliced(parts, *summed(*front), zero=np.float32(0), **constants)


def too_many_nodes(parts: Parts) -> None:
    nodes = [helper.make_node("Identity", ["n0"], [f"again{i}"]) for i in range(20_001)]
    parts.step.graph.node.extend(nodes)


def sparse_constant(parts: Parts) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    parts.step.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [10**12]))


def local_function(parts: Parts) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    parts.step.functions.append(
        helper.make_function("", "Mine", ["x"], ["y"], [node], [helper.make_opsetid("", 18)])
    )


def random_numbers(parts: Parts) -> None:
    front = helper.make_node("RandomUniformLike", ["surprise_was"], ["large"])
    spliced(parts, *summed(front))


def reads_out_of_range(parts: Parts) -> None:
    spliced(
        parts,
        helper.make_node("Gather", ["surprise_was", "far"], ["surprise"], axis=0),
        far=[10**6],
    )


def other_rank(parts: Parts) -> None:
    spliced(parts, helper.make_node("Unsqueeze", ["surprise_was", "axis"], ["surprise"]), axis=[1])


def loop(parts: Parts, condition: str = "yes") -> None:
    """Loops forever if `condition` holds."""
    number = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition_in"], ["condition_out"]),
            helper.make_node("Identity", ["x_in"], ["x_out"]),
        ],
        "body",
        [
            number("iteration", TensorProto.INT64, []),
            number("condition_in", TensorProto.BOOL, []),
            number("x_in", TensorProto.FLOAT, ["n"]),
        ],
        [number("condition_out", TensorProto.BOOL, []), number("x_out", TensorProto.FLOAT, ["n"])],
    )
    node = helper.make_node("Loop", ["many", condition, "surprise_was"], ["surprise"], body=body)
    front = [
        helper.make_node("ReduceMin", ["value"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "million"], ["high"]),
    ]
    spliced(parts, *front, node, many=np.int64(2**62), yes=np.True_, million=1e6)


@pytest.mark.parametrize(
    ("damage", "expected", "found"),
    [
        (large_constant, "bytes in a tensor in a call of 512 rows", "8,000,000,000,000"),
        (large_expand, "bytes in a tensor in a call of 512 rows", "24,000,000,000"),
        (grows_with_the_square_of_the_batch, "bytes in a tensor", "8,589,934,592"),
        (many_that_fit_alone, "bytes in all tensors", ""),
        (shape_from_values, "shapes that follow from the graph alone", "Expand"),
        (long_work, "multiplications in a call", ""),
        (long_scan, "multiplications in a call", ""),
        (too_many_nodes, "at most 20,000 nodes", "more"),
        (sparse_constant, "a plain graph", "sparse constants"),
        (local_function, "a plain graph", "local functions"),
        (random_numbers, "operators of ", "'RandomUniformLike'"),
        (loop, "operators of ", "'Loop'"),
        (reads_out_of_range, "a graph that steps through golden.npz", "out of data bounds"),
        (other_rank, "", "surprise"),
    ],
)
def test_a_graph_beyond_all_limits_is_refused_before_it_runs(
    tmp_path: Path, damage: Damage, expected: str, found: str
) -> None:
    write_bundle(tmp_path, damage=damage)
    error = refused(tmp_path)
    assert error.file.endswith(STEP)
    assert expected in error.expected
    assert found in error.found or found in error.expected


def test_a_loop_that_is_allowed_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LIMIT_S", 0.2)
    write_bundle(tmp_path, damage=loop)
    error = refused(tmp_path, Trust(operators=frozenset({"Loop"})))
    assert "a graph that steps through golden.npz" in error.expected


def test_a_loop_by_data_ends_in_service_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, damage=lambda parts: loop(parts, "high"))
    runtime = load_runtime(tmp_path, trust=Trust(operators=frozenset({"Loop"})))
    monkeypatch.setattr(watchdog, "LIMIT_S", 0.2)
    state = {spec.name: np.zeros((16, *spec.shape), spec.dtype) for spec in runtime.manifest.state}
    with pytest.raises(Exception, match="terminate"):
        runtime.step(np.full((16, 1), 1e9), np.zeros(16, np.int64), state)


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    text = repr({"descr": kind, "fortran_order": False, "shape": shape})
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, value=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (archive(value=header((10**6, 1250, 1)) + bytes(100)), "value of 100 bytes"),
        (archive(value=header((10**30,)) + bytes(8)), "value of 8 bytes"),
        (archive(value=header((3, 3, 1), "<U4000000000") + bytes(8)), ""),
        (
            archive(zeros=header((600_000_000,), "|u1") + bytes(600_000_000)),
            "at most 536,870,912 bytes of arrays",
        ),
        (archive(value=b"\x93NUMPY\x09\x00" + bytes(64)), "numpy arrays"),
        (archive(value=header((-1,)) + bytes(8)), ""),
        (pickled(), ""),
    ],
)
def test_golden_arrays_are_held_to_their_claims_before_they_are_read(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    write_bundle(tmp_path, damage=lambda parts: parts.raw.update({GOLDEN: content}))
    error = refused(tmp_path)
    assert error.file.endswith(GOLDEN)
    assert expected in error.expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda golden: golden | {"surplus": np.zeros(3)}, "arrays"),
        (
            lambda golden: golden | {"one_step": np.full_like(golden["one_step"], np.nan)},
            "forecasts in one_step",
        ),
        (
            lambda golden: golden | {"value": golden["value"].astype(np.complex128)},
            "value as float32 or float64",
        ),
    ],
)
def test_golden_arrays_that_say_nothing_or_too_much_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], expected: str
) -> None:
    def damage(parts: Parts) -> None:
        parts.golden = change(parts.golden)

    write_bundle(tmp_path, damage=damage)
    assert expected in refused(tmp_path).expected


HUGE = 10**30
ODD_NAMES = (
    "a\nb",
    "\x1b[2J",
    "[/red]walk",
    "\u202eklaw",
    "",
    "n" * 100_000,
    'x","y":"',
    "%s%b",
    "a\x00",
)


@pytest.mark.parametrize(
    "change",
    [
        *(
            {name: HUGE}
            for name in (
                "horizon",
                "max_gap",
                "warmup_steps",
                "interval_ms",
                "forecast_interval_ms",
            )
        ),
        *({name: 2**63} for name in ("horizon", "max_gap", "warmup_steps", "interval_ms")),
        {"seasons_ms": [HUGE]},
        {"seasons_ms": list(range(1, 100))},
        {"horizon": 99_999, "quantiles": [0.01 * i for i in range(1, 100)]},
        {"state": [{"name": "last", "dtype": "float64", "shape": [10**12]}]},
        {"state": [{"name": "last", "dtype": "float64", "shape": [4096, 4096]}]},
        {"state": [{"name": "last", "dtype": "float64", "shape": [1] * 1000}]},
        {"quantiles": [i / 100_000 for i in range(1, 100_000)]},
        {
            "training": {
                "fingerprint": "x",
                "streams": HUGE,
                "observations": 1,
                "end_time_ms": 1,
                "seconds": 1.0,
            }
        },
        {
            "training": {
                "fingerprint": "x",
                "streams": 1,
                "observations": 1,
                "end_time_ms": HUGE,
                "seconds": 1.0,
            }
        },
        *({"name": name} for name in ODD_NAMES),
        *({"family": name} for name in ("a\nb", "\x1b[2J", "", "n" * 100_000)),
        *({"channels": [name], "targets": [name]} for name in ("a\n", "", "n" * 100_000, "\u202e")),
        {"channels": ["a", "a"], "targets": ["a"]},
        {"version": "../../etc"},
        {"files": {"../step.onnx": "0" * 64}},
        {"tools": HUGE},
    ],
    ids=lambda change: ",".join(change),
)
def test_a_manifest_with_numbers_and_names_beyond_all_bounds_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    write_bundle(tmp_path)
    document = json.loads((tmp_path / MANIFEST).read_text()) | change
    if "version" not in change:
        document["version"] = manifest_version(document)
    (tmp_path / MANIFEST).write_text(json.dumps(document))
    error = refused(tmp_path)
    assert error.file.endswith(MANIFEST)
    assert len(str(error)) < 2_000


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b"\xff\xfe{}",
        b'{"name": "\\ud800"}',
        b'{"contract": 2, "contract": 1}',
        b'{"quantiles": [NaN]}',
        b"9" * 5_000,
        b" " * (1 << 21),
        b"[]",
    ],
)
def test_a_manifest_that_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    write_bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    assert refused(tmp_path).file.endswith(MANIFEST)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [pipe, folder, device, circle])
@pytest.mark.parametrize("name", [MANIFEST, STEP, GOLDEN])
def test_files_that_are_not_regular_are_refused(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    write_bundle(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    assert refused(tmp_path).file.endswith(name)


def test_links_are_followed(tmp_path: Path) -> None:
    """Kubernetes mounts files as symbolic links."""
    write_bundle(tmp_path / "real")
    (tmp_path / "linked").mkdir()
    for file in (tmp_path / "real").iterdir():
        (tmp_path / "linked" / file.name).symlink_to(file)
    load_runtime(tmp_path / "linked")


def test_a_large_forecast_is_no_attack(tmp_path: Path) -> None:
    assert load_runtime(write_large(tmp_path)).manifest.horizon == 720


def write_large(directory: Path) -> Path:
    write_bundle(directory, Walk(horizon=720, channels=("a", "b", "c"), targets=("a", "b", "c")))
    return directory


def test_commands_that_run_a_bundle_take_further_operators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(tmp_path / "b", damage=lambda parts: loop(parts, "high"))
    rows = "\n".join(f"{1_700_000_040_000 + 60_000 * i},{20 + i % 7}" for i in range(40))
    (tmp_path / "h.csv").write_text(f"timestamp,a\n{rows}\n")
    words = [
        "replay",
        str(tmp_path / "b"),
        str(tmp_path / "h.csv"),
        "--out",
        str(tmp_path / "f.jsonl"),
    ]
    assert run(words) == 3
    assert "bundle.operators=Loop" in capsys.readouterr().err
    assert run([*words, "--operators", "Loop"]) == 0
