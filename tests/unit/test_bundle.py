"""Every violation of the contract is refused, with file, reason and action in the error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eddycast.service.bundle import FORECAST, GOLDEN, JUMP, MANIFEST, STEP, layout_id_of
from eddycast.service.errors import BundleError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from tests.support.bundles import RECURRENT, TWO_CHANNELS, Parts, Walk, write_bundle

#: A bundle that the first contract's exporter wrote.
CONTRACT_1 = Path(__file__).parents[1] / "support" / "contract1" / "bundle"


def refused(directory: Path) -> BundleError:
    """Return the error that loading `directory` raises."""
    with pytest.raises(BundleError) as caught:
        load_runtime(directory)
    return caught.value


def declared(values: Any, name: str) -> onnx.ValueInfoProto:
    """Return the input or output called `name`."""
    found: onnx.ValueInfoProto = next(value for value in values if value.name == name)
    return found


def remove(values: Any, name: str) -> None:
    """Remove the input or output called `name`."""
    values.remove(declared(values, name))


@pytest.mark.parametrize(
    "walk", [Walk(), TWO_CHANNELS, RECURRENT, Walk(channels=("a", "b"), targets=("b",))]
)
def test_a_good_bundle_is_accepted(tmp_path: Path, walk: Walk) -> None:
    sealed = write_bundle(tmp_path, walk)
    assert load_runtime(tmp_path).manifest == sealed == read_manifest(tmp_path)


def test_a_bundle_has_a_version_and_a_layout(tmp_path: Path) -> None:
    one, same = (
        write_bundle(tmp_path / "one"),
        write_bundle(tmp_path / "same", Walk(fields={"name": "other"})),
    )
    wider = write_bundle(tmp_path / "wider", RECURRENT)
    assert layout_id_of(one.state) == layout_id_of(same.state) != layout_id_of(wider.state)
    assert one.label == f"walk@{one.version[:6]}" and one.version != wider.version
    assert (one.row_bytes, wider.row_bytes) == (8 + 4 + 8, 8 + 4 + 8 + 4 * RECURRENT.hidden)
    assert one.median == 1 and one.target_channels == (0,)


CORE = {"name": "core", "tensors": ["last", "count"], "meaning": "0" * 16}
CLOCK = {"name": "clock", "tensors": ["time"], "meaning": "1" * 16, "needs": ["core"]}


def test_a_bundle_lists_the_parts_of_its_row(tmp_path: Path) -> None:
    sealed = write_bundle(tmp_path, Walk(fields={"parts": [CORE, CLOCK]}))
    assert read_manifest(tmp_path) == sealed and sealed.contract == 2
    assert [(part.name, part.tensors, part.needs) for part in sealed.row_parts] == [
        ("core", ("last", "count"), ()),
        ("clock", ("time",), ("core",)),
    ]


def test_a_row_without_listed_parts_is_one_whose_meaning_is_the_version(tmp_path: Path) -> None:
    (one,) = write_bundle(tmp_path / "one").row_parts
    (same,) = write_bundle(tmp_path / "same").row_parts
    assert one == same and (one.name, one.tensors) == ("core", ("last", "count", "time"))
    changes: list[Walk] = [
        Walk(spread=2.0),
        Walk(interval_ms=30_000),
        Walk(fields={"kind": "counter"}),
        Walk(channels=("other",), targets=("other",)),
    ]
    others = [
        write_bundle(tmp_path / str(i), walk).row_parts[0].meaning for i, walk in enumerate(changes)
    ]
    assert len({one.meaning, *others}) == 5


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([CLOCK | {"needs": []}, CORE], "first part must be 'core'"),
        ([CORE | {"needs": ["core"]}, CLOCK], "first part must be 'core'"),
        ([CORE], r"\btime\b"),
        ([CORE, CLOCK | {"tensors": ["time", "last"]}], r"\blast\b"),
        ([CORE, CLOCK | {"tensors": ["time", "other"]}], r"\bother\b"),
        ([CORE, CLOCK, CLOCK], "two parts have the same name"),
        ([CORE, CLOCK | {"needs": ["later"]}], "needs .'later'."),
        ([CORE, CLOCK | {"meaning": "new"}], "meaning"),
        ([CORE, CLOCK | {"tensors": []}], "tensors"),
    ],
)
def test_parts_that_do_not_share_out_the_row_are_refused(
    tmp_path: Path, parts: list[Any], found: str
) -> None:
    with pytest.raises(BundleError, match=found):
        write_bundle(tmp_path, Walk(fields={"parts": parts}))


def test_a_bundle_of_contract_version_1_is_served_and_has_no_parts(tmp_path: Path) -> None:
    manifest = load_runtime(CONTRACT_1).manifest
    assert manifest.contract == 1 and len(manifest.row_parts) == 1
    shutil.copytree(CONTRACT_1, tmp_path, dirs_exist_ok=True)
    fields = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(fields | {"parts": [CORE, CLOCK]}))
    assert "version 1" in refused(tmp_path).found


@pytest.mark.parametrize("name", [MANIFEST, STEP, FORECAST, GOLDEN])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path)
    (tmp_path / name).unlink()
    error = refused(tmp_path)
    assert error.file.endswith(name) and error.found == "no such file" and error.action


@pytest.mark.parametrize("name", [STEP, FORECAST, GOLDEN])
def test_a_flipped_bit_is_found_by_its_hash(tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    error = refused(tmp_path)
    assert (
        error.file.endswith(name)
        and error.expected.startswith("sha256")
        and "damaged" in error.action
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"contract": 3}, "contract"),
        ({"version": "0" * 64}, "0000"),
        ({"quantiles": [0.1, 0.5]}, "quantiles must include"),
        ({"quantiles": [0.5, 0.1, 0.9]}, "strictly increasing"),
        ({"forecast_interval_ms": 90_000}, "multiple of interval_ms"),
        ({"targets": ["pressure"]}, "pressure"),
        ({"channels": []}, "channels"),
        ({"horizon": 0}, "horizon"),
        ({"surplus": 1}, "surplus"),
        ({"files": {}}, "files must be"),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_refused(
    tmp_path: Path, change: dict[str, Any], found: str
) -> None:
    write_bundle(tmp_path)
    fields = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(fields | change))
    error = refused(tmp_path)
    assert error.file.endswith(MANIFEST) and found in error.found


def test_a_manifest_that_is_not_json_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    assert refused(tmp_path).file.endswith(MANIFEST)


def test_writing_a_manifest_refuses_the_same_as_loading(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="two state tensors"):
        write_bundle(tmp_path, Walk(fields={"state": Walk().state[:1] * 2}))


def external_data(parts: Parts) -> None:
    tensor = parts.step.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


def external_data_in_a_constant(parts: Parts) -> None:
    tensor = helper.make_tensor("hidden_away", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    parts.forecast.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def custom_domain(parts: Parts) -> None:
    parts.step.opset_import.append(helper.make_opsetid("com.example", 1))


def custom_domain_in_a_branch(parts: Parts) -> None:
    node = helper.make_node("Magic", [], ["unused"], domain="com.example")
    branch = helper.make_graph(
        [node], "branch", [], [helper.make_tensor_value_info("unused", TensorProto.FLOAT, [])]
    )
    parts.step.graph.node.append(
        helper.make_node("If", ["n0"], ["unused"], then_branch=branch, else_branch=branch)
    )


def custom_function(parts: Parts) -> None:
    opsets = [helper.make_opsetid("", 18)]
    parts.step.functions.append(helper.make_function("local", "Magic", [], [], [], opsets))


def wrong_input_type(parts: Parts) -> None:
    declared(parts.step.graph.input, "value").type.tensor_type.elem_type = TensorProto.FLOAT


def string_input(parts: Parts) -> None:
    declared(parts.step.graph.input, "value").type.tensor_type.elem_type = TensorProto.STRING


def wrong_state_width(parts: Parts) -> None:
    declared(parts.step.graph.input, "state.last").type.tensor_type.shape.dim[1].dim_value = 4


def wrong_rank(parts: Parts) -> None:
    del declared(parts.step.graph.output, "one_step").type.tensor_type.shape.dim[2]


def no_shape(parts: Parts) -> None:
    declared(parts.forecast.graph.output, "multi_step").type.tensor_type.ClearField("shape")


def fixed_batch(parts: Parts) -> None:
    declared(parts.step.graph.input, "value").type.tensor_type.shape.dim[0].dim_value = 2


def missing_input(parts: Parts) -> None:
    remove(parts.step.graph.input, "timestamp")


def missing_next(parts: Parts) -> None:
    remove(parts.step.graph.output, "next.count")


def unknown_input(parts: Parts) -> None:
    parts.step.graph.input.append(
        helper.make_tensor_value_info("stream", TensorProto.INT64, ["batch"])
    )


def known_input(parts: Parts) -> None:
    parts.forecast.graph.input.append(
        helper.make_tensor_value_info("known", TensorProto.FLOAT, ["batch", 3])
    )


def unknown_state_in_forecast(parts: Parts) -> None:
    parts.forecast.graph.input.append(
        helper.make_tensor_value_info("state.other", TensorProto.FLOAT, ["batch", 1])
    )


def wrong_horizon(parts: Parts) -> None:
    parts.fields["horizon"] = 5


def wrong_output_type(parts: Parts) -> None:
    declared(parts.step.graph.output, "surprise").type.tensor_type.elem_type = TensorProto.DOUBLE


def unknown_operator(parts: Parts) -> None:
    parts.step.graph.node[0].op_type = "NoSuchOperator"


def state_of_another_type(parts: Parts) -> None:
    specs = parts.fields["state"]
    parts.fields["state"] = (specs[0].model_copy(update={"dtype": "float32"}), *specs[1:])


def no_graph(parts: Parts) -> None:
    parts.forecast.graph.ClearField("node")


@pytest.mark.parametrize(
    ("damage", "file", "expected", "found"),
    [
        (external_data, STEP, "no external data", "kept outside the file"),
        (external_data_in_a_constant, FORECAST, "no external data", "'hidden_away'"),
        (custom_domain, STEP, "ai.onnx domain only", "'com.example' (imported)"),
        (custom_domain_in_a_branch, STEP, "ai.onnx domain only", "'com.example' (node Magic)"),
        (custom_function, STEP, "ai.onnx domain only", "'local' (function Magic)"),
        (wrong_input_type, STEP, "input 'value' to be float64 [batch, 1]", "float32"),
        (string_input, STEP, "input 'value' to be float64 [batch, 1]", "element type 8"),
        (wrong_state_width, STEP, "input 'state.last' to be float64 [batch, 1]", "[batch, 4]"),
        (wrong_rank, STEP, "output 'one_step' to be float32 or float64 [batch, 1, 3]", "rank 2"),
        (no_shape, FORECAST, "output 'multi_step'", "no shape"),
        (fixed_batch, STEP, "input 'value'", "batch dimension fixed at 2"),
        (missing_input, STEP, "an input 'timestamp', int64 [batch]", "inputs ['state.count'"),
        (missing_next, STEP, "an output 'next.count', float32 [batch, 1]", "outputs ['next.last'"),
        (unknown_input, STEP, "inputs among", "unknown input 'stream'"),
        (known_input, FORECAST, "no known-future inputs", "'known'"),
        (unknown_state_in_forecast, FORECAST, "inputs among", "unknown input 'state.other'"),
        (wrong_horizon, FORECAST, "[batch, 5, 1, 3]", "[batch, 3, 1, 3]"),
        (wrong_output_type, STEP, "output 'surprise' to be float32 [batch]", "float64"),
        (state_of_another_type, STEP, "input 'state.last' to be float32 [batch, 1]", "float64"),
        (unknown_operator, STEP, "operators of ", "NoSuchOperator"),
        (no_graph, FORECAST, "an ONNX model", "without a graph"),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(
    tmp_path: Path, damage: Callable[[Parts], None], file: str, expected: str, found: str
) -> None:
    write_bundle(tmp_path, damage=damage)
    error = refused(tmp_path)
    assert error.file.endswith(file)
    assert expected in error.expected and found in error.found
    assert error.action and error.exit_code == 3


def wrong_steps(parts: Parts) -> None:
    assert parts.jump
    parts.jump.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def unknown_next(parts: Parts) -> None:
    assert parts.jump
    parts.jump.graph.output[0].name = parts.jump.graph.node[0].output[0] = "next.other"


def nothing_next(parts: Parts) -> None:
    assert parts.jump
    parts.jump.graph.ClearField("output")


def no_jump_in_golden(parts: Parts) -> None:
    del parts.golden["jump_one_step"]


def no_jump_at_all(parts: Parts) -> None:
    parts.jump = None


def no_steps(parts: Parts) -> None:
    parts.golden["jump_steps"][1] = 0


def other_after_jump(parts: Parts) -> None:
    parts.golden["jump_multi_step"] = parts.golden["jump_multi_step"] + 2e-4


@pytest.mark.parametrize(
    ("damage", "file", "expected", "found"),
    [
        (wrong_steps, JUMP, "input 'steps' to be int64 [batch]", "int32"),
        (unknown_next, JUMP, "outputs among", "unknown output 'next.other'"),
        (nothing_next, JUMP, "an output of the next row", "none"),
        (no_jump_in_golden, GOLDEN, "an array 'jump_one_step'", "arrays"),
        (no_jump_at_all, GOLDEN, "arrays", "'jump_multi_step' as well"),
        (no_steps, GOLDEN, "jump_steps from 1", "[1, 0, 1000]"),
        (other_after_jump, JUMP, "jump_multi_step within 0.0001 of the scale", "row"),
    ],
)
def test_a_jump_that_breaks_the_contract_is_refused(
    tmp_path: Path, damage: Callable[[Parts], None], file: str, expected: str, found: str
) -> None:
    write_bundle(tmp_path, Walk(jumps=True, max_gap=97), damage)
    error = refused(tmp_path)
    assert error.file.endswith(file)
    assert expected in error.expected and found in error.found


def test_the_steps_after_a_jump_are_a_gap_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="max_gap at least 97"):
        write_bundle(tmp_path, Walk(jumps=True, max_gap=96))


def test_a_stream_begins_anew_after_the_time_to_live_only_if_the_bundle_jumps(
    tmp_path: Path,
) -> None:
    week = 7 * 86_400_000
    for jumps, longest in ((False, 97), (True, 7 * 1440)):
        manifest = write_bundle(tmp_path / str(jumps), Walk(jumps=jumps, max_gap=97))
        assert manifest.jumps == jumps and manifest.longest_gap(week) == longest
        assert manifest.longest_gap(60_000) == 97, "what is stepped is never forgotten"


def put(name: str, where: Any, value: float) -> Callable[[Parts], None]:
    """Write `value` into an array of golden.npz."""

    def damage(parts: Parts) -> None:
        parts.golden[name][where] = value

    return damage


def shift(name: str, by: float) -> Callable[[Parts], None]:
    """Add `by` to a whole array of golden.npz."""

    def damage(parts: Parts) -> None:
        parts.golden[name] = parts.golden[name] + np.asarray(by, parts.golden[name].dtype)

    return damage


@pytest.mark.parametrize(
    ("damage", "file", "expected"),
    [
        (shift("one_step", 2e-4), STEP, "one_step within 0.0001 of the scale"),
        (shift("multi_step", 2e-4), FORECAST, "multi_step within 0.0001 of the scale"),
        (shift("surprise", 2e-2), STEP, "surprise within 0.01"),
        (shift("scores", 2e-4), STEP, "scores within 0.0001 of the scale"),
        (put("scores", (9, slice(None), 0, 4), 2.0), STEP, "scores"),
        (put("one_step", (0, 0), 1.0), STEP, "one_step to be NaN where it is"),
        (put("multi_step", (9, 1, 2), np.nan), FORECAST, "multi_step to be NaN where it is"),
        (put("surprise", (0, 0), 1.0), STEP, "surprise to be NaN where it is"),
        (put("one_step", (1, 1, 0, 2), 17.0), STEP, "one_step"),  # the scale is 0 there
        (put("value", (5, 1, 0), 99.0), STEP, ""),
    ],
)
def test_a_bundle_that_does_other_than_the_trainer_saw_is_refused(
    tmp_path: Path, damage: Callable[[Parts], None], file: str, expected: str
) -> None:
    write_bundle(tmp_path, damage=damage)
    error = refused(tmp_path)
    assert error.file.endswith(file) and expected in error.expected
    assert " at step " in error.found and ", row " in error.found


@pytest.mark.parametrize(
    ("ranks", "damage", "expected"),
    [
        (True, shift("anomaly", 2e-2), "anomaly within 0.01"),
        (
            True,
            lambda parts: parts.golden.pop("anomaly"),
            "anomaly in both step.onnx and golden.npz",
        ),
        (
            False,
            lambda parts: parts.golden.update(anomaly=parts.golden["surprise"]),
            "anomaly in both step.onnx and golden.npz",
        ),
        (
            True,
            lambda parts: parts.golden.update(anomaly=parts.golden["scores"]),
            "anomaly [steps, batch]",
        ),
    ],
)
def test_an_anomaly_is_held_to_the_golden_sequence(
    tmp_path: Path, ranks: bool, damage: Callable[[Parts], None], expected: str
) -> None:
    write_bundle(tmp_path, Walk(ranks=ranks))
    load_runtime(tmp_path)
    write_bundle(tmp_path, Walk(ranks=ranks), damage)
    assert expected in refused(tmp_path).expected


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (shift("expected", 2e-4), "expected within 0.0001 of the scale"),
        (shift("error", 2e-4), "error within 0.0001 of the scale"),
        (lambda parts: parts.golden.pop("error"), "error in both step.onnx and golden.npz"),
        (
            lambda parts: parts.golden.update(expected=parts.golden["error"]),
            "expected [steps, batch, 1, 3]",
        ),
    ],
)
def test_what_was_expected_is_held_to_the_golden_sequence(
    tmp_path: Path, damage: Callable[[Parts], None], expected: str
) -> None:
    write_bundle(tmp_path, Walk(expects=True))
    load_runtime(tmp_path)
    write_bundle(tmp_path, Walk(expects=True), damage)
    assert expected in refused(tmp_path).expected


@pytest.mark.parametrize("damage", [shift("one_step", 5e-5), shift("surprise", 5e-3)])
def test_small_differences_are_another_machine_s_arithmetic(
    tmp_path: Path, damage: Callable[[Parts], None]
) -> None:
    def only_where_there_is_a_scale(parts: Parts) -> None:
        before = {name: column.copy() for name, column in parts.golden.items()}
        damage(parts)
        for name, column in parts.golden.items():
            column[:2] = before[name][:2]

    write_bundle(tmp_path, damage=only_where_there_is_a_scale)
    load_runtime(tmp_path)


def test_a_difference_that_only_shows_in_a_carried_state_is_found(tmp_path: Path) -> None:
    """The recurrence of another model: equal in the first step only."""

    def damage(parts: Parts) -> None:
        recurrent = next(t for t in parts.step.graph.initializer if list(t.dims) == [24, 24])
        weights = onnx.numpy_helper.to_array(recurrent) * np.float32(1.1)
        recurrent.CopyFrom(onnx.numpy_helper.from_array(weights, recurrent.name))

    write_bundle(tmp_path, RECURRENT, damage)
    error = refused(tmp_path)
    assert "one_step within" in error.expected and "at step 0" not in error.found


def drop(name: str) -> Callable[[Parts], None]:
    """Leave an array out of golden.npz."""

    def damage(parts: Parts) -> None:
        del parts.golden[name]

    return damage


def other_type(parts: Parts) -> None:
    parts.golden["timestamp"] = parts.golden["timestamp"].astype(np.float64)


def other_shape(parts: Parts) -> None:
    parts.golden["one_step"] = parts.golden["one_step"][..., :2]


def empty(parts: Parts) -> None:
    parts.golden = {name: column[:0] for name, column in parts.golden.items()}


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (drop("scale"), "an array 'scale'"),
        (drop("value"), "an array 'value'"),
        (other_type, "timestamp as int64"),
        (other_shape, "one_step [steps, batch, 1, 3]"),
        (empty, "value [steps, batch, 1]"),
    ],
)
def test_golden_arrays_are_verified(
    tmp_path: Path, damage: Callable[[Parts], None], expected: str
) -> None:
    write_bundle(tmp_path, damage=damage)
    error = refused(tmp_path)
    assert error.file.endswith(GOLDEN) and expected in error.expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (STEP, b"not an onnx file", "an ONNX model"),
        (FORECAST, b"", "an ONNX model"),
        (GOLDEN, b"not a zip file", "numpy arrays"),
        (GOLDEN, b"", "numpy arrays"),
    ],
)
def test_files_that_do_not_parse_are_named(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    write_bundle(tmp_path, damage=lambda parts: parts.raw.update({name: content}))
    error = refused(tmp_path)
    assert error.file.endswith(name) and expected in error.expected


def test_a_gap_that_takes_longer_than_a_turn_is_not_a_bundles_to_ask_for(tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk(max_gap=10_000))
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(content | {"max_gap": 10_001}))
    error = refused(tmp_path)
    assert error.file.endswith(MANIFEST) and "max_gap" in str(error) and "10000" in str(error)
