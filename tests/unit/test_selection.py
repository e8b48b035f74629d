"""Settings choose the levels, leads and digits that are written of a forecast."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from eddycast.service.errors import SettingsError
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.json_encoder import Encoder
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.output import OutputSettings
from tests.unit.test_codec_forecasts import columns, manifest

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def written(**chosen: str) -> list[dict[str, Any]]:
    encoder = Encoder(manifest(quantiles=LEVELS, horizon=6), OutputSettings.model_validate(chosen))
    made = ForecastColumns(**columns(4, quantiles=5, horizon=6))
    return [json.loads(record) for record in encoder.encode(made)]


def test_chosen_levels_and_leads_are_those_of_the_whole_record() -> None:
    for part, whole in zip(written(quantiles=".1, .5, .9", leads="1,6"), written(), strict=True):
        one_step, multi_step = (np.array(whole[name]) for name in ("one_step", "multi_step"))
        assert part["quantiles"] == [0.1, 0.5, 0.9]
        assert part["leads"] == [1, 6]
        assert part["one_step"] == one_step[[0, 2, 4]].tolist()
        assert part["multi_step"] == multi_step[[0, 5]][:, [0, 2, 4]].tolist()
        assert "leads" not in whole
        assert {**whole, **part} == {**part, "leads": [1, 6]}


def test_digits_are_counted_from_the_width_of_the_whole_interval() -> None:
    given = columns(4, quantiles=5, horizon=6)
    width = given["one_step"][:, 0, -1] - given["one_step"][:, 0, 0]
    exact, coarse = written(digits="all"), written(digits="1", quantiles=".5")
    for i, (all_digits, few) in enumerate(zip(exact, coarse, strict=True)):
        assert np.float32(all_digits["one_step"]).tolist() == given["one_step"][i, 0].tolist()
        assert np.abs(few["one_step"][0] - given["one_step"][i, 0, 2]) <= 0.1 * abs(width[i])


@pytest.mark.parametrize(
    ("chosen", "absent"),
    [({"quantiles": ".1,.45"}, "0.45"), ({"leads": "1,7"}, "lead 7")],
)
def test_what_the_bundle_does_not_forecast_is_refused_by_name(
    chosen: dict[str, str], absent: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Encoder(manifest(quantiles=LEVELS, horizon=6), OutputSettings.model_validate(chosen))
    assert absent in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "flag",
    [
        "quantiles=a",
        "quantiles=.5,.1",
        "quantiles=nan",
        "leads=0",
        "leads=1.5",
        "leads=2,2",
        "digits=-1",
        "digits=x",
    ],
)
def test_a_list_that_is_none_is_refused_with_its_name(flag: str) -> None:
    with pytest.raises(SettingsError, match=f"output.{flag.partition('=')[0]}"):
        load_settings([f"--output.{flag}"], {})


def test_all_three_are_settings() -> None:
    flags = ["--output.quantiles=.1,.5", "--output.leads=1,24", "--output.digits=all"]
    output = load_settings(flags, {}).output
    assert (output.chosen_quantiles, output.chosen_leads, output.chosen_digits) == (
        (0.1, 0.5),
        (1, 24),
        None,
    )
    assert load_settings([], {"EDDYCAST_OUTPUT__DIGITS": "5"}).output.chosen_digits == 5
