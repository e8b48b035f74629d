"""Parts of a row, and when two models give a part the same meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eddycast.training.export.invariants.checking import carried
from eddycast.training.export.onnx_export import Identity, manifest_parts
from eddycast.training.fitting.custom_family import load_custom
from eddycast.training.models import Forecaster, LatentAutoregression, Mixture, Target
from eddycast.training.models.joint import Joint
from eddycast.training.models.linear import linear_memory
from eddycast.training.models.memory.suspect_readings import Moved
from eddycast.training.models.quantiles.calibration import REVISION
from eddycast.training.models.quantiles.widths import Learned
from tests.models.zoo import DAILY, PLAIN, WEEKLY, forecaster, joint, linear, streams

ONE = Identity("one")
#: Families on one memory: with a season of a day, no second one.
ALIKE = ("ar", "rnn", "gru", "lstm", "dilated_gru", "seq2seq", "mix")


def meanings(model: Forecaster | Joint, identity: Identity = ONE) -> dict[str, str]:
    return {part.name: part.meaning for part in manifest_parts(model, identity)}


def gru(seed: int, target: Target = DAILY) -> LatentAutoregression:
    torch.manual_seed(seed)
    return LatentAutoregression(target, "gru", linear(target), units=16)


def test_families_on_one_memory_have_one_core_and_nothing_else_in_common() -> None:
    found = {kind: meanings(forecaster(kind)) for kind in ALIKE}
    assert len({parts["core"] for parts in found.values()}) == 1
    for part in ("latent", "calibration", "anomaly"):
        named = [parts[part] for parts in found.values() if part in parts]
        assert len(set(named)) == len(named) > 5


def test_equal_cores_are_equal_to_the_last_bit_whatever_else_a_model_does() -> None:
    """The reach of the rule for suspects, the largest recent error, is excepted: errors are a
    model's own."""
    values, timestamps = streams("ar", 400, 4)
    rows = []
    for model in (forecaster("ar"), gru(1).eval(), gru(2).eval(), forecaster("mix")):
        row, _ = carried(model, model.initial_state(4), values, timestamps)
        core = next(part for part in model.state_parts() if part.name == "core")
        rows.append({name: row[name].numpy() for name in core.tensors})
        rows[-1]["moved"] = rows[-1]["moved"][:, : Moved._fields.index("reach")]
    for other in rows[1:]:
        assert other.keys() == rows[0].keys()
        assert all(np.array_equal(other[name], rows[0][name]) for name in other)


def test_the_same_family_trained_again_shares_all_but_the_latent_state() -> None:
    one, again, other = meanings(gru(1)), meanings(gru(1)), meanings(gru(2))
    assert one == again
    assert {name for name in one if one[name] != other[name]} == {"latent"}
    path = linear(DAILY)
    mixed = [Mixture([path, gru(seed), forecaster("lstm")]) for seed in (1, 2)]
    assert {name for name in one if meanings(mixed[0])[name] != meanings(mixed[1])[name]} == {
        "latent"
    }


CHANGES: dict[str, tuple[Forecaster, set[str]]] = {
    "another interval": (linear(replace(DAILY, interval_ms=60_000)), {"core"}),
    "another season": (linear(replace(DAILY, season_steps=12)), {"core"}),
    "fewer lags": (linear(DAILY, linear_memory(DAILY, lags=24)), {"core"}),
    "other rates": (linear(DAILY, linear_memory(DAILY, rates=(0.4, 0.2, 0.08, 0.03))), {"core"}),
    "other half-lives": (
        linear(DAILY, replace(linear_memory(DAILY), half_lives=(1.0, 24.0, 72.0, 168.0))),
        {"core"},
    ),
    "a counter": (linear(replace(DAILY, kind="counter")), {"core"}),
    "another horizon": (linear(replace(DAILY, horizon=7)), {"calibration"}),
    "other levels": (
        linear(replace(DAILY, quantiles=(0.1, 0.2, 0.5, 0.7, 0.9))),
        {"calibration", "anomaly"},
    ),
    "a support": (linear(replace(DAILY, support="nonnegative")), {"calibration", "anomaly"}),
    "no calibration": (linear(replace(DAILY, calibrated=False)), {"calibration", "anomaly"}),
    "a coarser horizon": (linear(replace(DAILY, block=2)), {"calibration"}),
    "a second season": (linear(WEEKLY), {"second_season"}),
    "nothing": (linear(DAILY), set()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_meaning_covers_all_that_moves_its_part_and_no_more(change: str) -> None:
    model, expected = CHANGES[change]
    before, after = meanings(linear(DAILY)), meanings(model)
    assert {name for name in before | after if before.get(name) != after.get(name)} == expected


def test_widths_of_another_rule_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are ranks of the surprises that they made. Everything else is."""
    for kind in ("ar", "lstm"):
        now = meanings(forecaster(kind))
        with monkeypatch.context() as earlier:
            earlier.setattr("eddycast.training.models.parts.CALIBRATION_REVISION", REVISION - 1)
            before = meanings(forecaster(kind))
        assert {name for name in now if now[name] != before[name]} == {"calibration", "anomaly"}


def test_the_state_of_the_widths_belongs_to_the_calibration() -> None:
    """A row of a model without one of its tensors, or with another shape of it,
    has no calibration to keep."""
    for kind in ("ar", "seq2seq"):
        listed = {part.name: part.tensors for part in manifest_parts(forecaster(kind), ONE)}
        assert {*Learned._fields, "bounds", "pending"} <= set(listed["calibration"])


def test_channels_belong_to_the_core_by_name_and_in_their_order() -> None:
    model = joint("ar", 2, (0,))
    flow, swapped = (
        Identity("j", channels=channels, targets=("flow",))
        for channels in (("flow", "level"), ("level", "flow"))
    )
    assert meanings(model, flow)["core"] != meanings(model, swapped)["core"]
    assert meanings(model, flow)["core"] != meanings(joint("ar", 2, (1,)), flow)["core"]
    assert meanings(linear(PLAIN), Identity("a", ("temperature",), ("temperature",))) != meanings(
        linear(PLAIN)
    )


@pytest.mark.parametrize(("family", "at"), [("ar", (0,)), ("lstm", (0, 1)), ("dilated_gru", (1,))])
def test_the_parts_of_a_joint_forecaster_share_out_its_row(
    family: str, at: tuple[int, ...]
) -> None:
    model = joint(family, 2, at)
    identity = Identity("j", ("a", "b"), tuple("ab"[channel] for channel in at))
    parts = manifest_parts(model, identity)
    listed = [tensor for part in parts for tensor in part.tensors]
    assert sorted(listed) == sorted(model.initial_state(1))
    assert parts[0].name == "core" and any(name.startswith("channel") for name in parts[0].tensors)


def test_a_family_of_ones_own_has_parts_only_where_it_says_its_revision(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from eddycast.training.models import Naive\n"
        "class Silent(Naive):\n    pass\n"
        "class Said(Naive):\n    revision = 3\n"
        "class Later(Naive):\n    revision = 4\n"
    )
    silent, said, later = (
        load_custom(f"{file}:{name}").made(PLAIN) for name in ("Silent", "Said", "Later")
    )
    assert manifest_parts(silent, ONE) == ()
    assert (
        meanings(said)["core"] == meanings(later)["core"] == meanings(forecaster("naive"))["core"]
    )
    later.family = said.family
    assert meanings(said)["calibration"] != meanings(later)["calibration"]
