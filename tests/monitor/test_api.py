"""The API: lists, questions about one stream, forms, tags, refusals, and what protects it."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import Any

import numpy as np
import pytest

from tests.monitor.records import MINUTE, START, board, forecast, walks, with_expected
from tests.monitor.serving import client

NAMES = [f"site/{i:02d}" for i in range(12)]


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return walks(NAMES, 60)


def streams(answer: Any) -> list[str]:
    return [line["stream"] for line in answer.json()["streams"]]


def test_streams_are_searched_sorted_and_paged(records: list[dict[str, Any]]) -> None:
    api = client(board(records))
    assert streams(api.get("/api/streams")) == NAMES
    assert streams(api.get("/api/streams?search=SITE/1")) == NAMES[10:]
    page = api.get("/api/streams?limit=5&offset=10").json()
    assert (page["total"], page["matched"], len(page["streams"])) == (12, 12, 2)
    for sort in ("worst", "surprising", "silent", "cold", "newest"):
        assert sorted(streams(api.get(f"/api/streams?sort={sort}"))) == NAMES
    worst = api.get("/api/worst").json()["streams"]
    errors = [line["scaled_error"] for line in worst]
    assert errors == sorted(errors, reverse=True)


def test_a_line_holds_what_the_last_record_holds(records: list[dict[str, Any]]) -> None:
    api = client(board(records))
    last = {record["stream"]: record for record in records}
    for line in api.get("/api/streams").json()["streams"]:
        record = last[line["stream"]]
        assert (line["timestamp"], line["value"]) == (record["timestamp"], record["value"])
        assert (line["model"], line["warm"]) == (record["model"], record["warm"])
        low, middle, high = record["one_step"]
        shown = line["forecast"]
        assert (shown["low"], shown["middle"], shown["high"]) == pytest.approx((low, middle, high))
        assert line["surprise"] == pytest.approx(record["surprise"])


def test_order_by_what_is_remarkable() -> None:
    rng = np.random.default_rng(1)
    steps = range(30)
    calm = [forecast("calm", step, float(step), rng, surprise=0.1) for step in steps]
    cold = [forecast("cold", step, float(step), rng, surprise=0.2, warm=False) for step in steps]
    odd = [forecast("odd", step, float(step), rng, surprise=5.0 * (step == 20)) for step in steps]
    for record in cold:
        record["timestamp"] += MINUTE
    api = client(board(calm + odd + cold))
    assert streams(api.get("/api/streams?sort=surprising"))[0] == "odd"
    assert streams(api.get("/api/streams?sort=cold"))[0] == "cold"
    assert streams(api.get("/api/streams?sort=newest"))[0] == "cold"


def test_silence_is_judged_by_each_streams_own_rhythm() -> None:
    now = time.time_ns() // 1_000_000
    rng = np.random.default_rng(1)
    start = now - 30 * MINUTE
    often = [forecast("often", 0, 1.0, rng, timestamp=start + step * MINUTE) for step in range(20)]
    seldom = [
        forecast("seldom", 0, 1.0, rng, timestamp=start + (5 - 10 * (19 - step)) * MINUTE)
        for step in range(20)
    ]
    api = client(board(often + seldom))
    found = api.get("/api/silent").json()
    assert [line["stream"] for line in found["streams"]] == ["often"]
    assert found["streams"][0]["rhythm_s"] == 60
    assert api.get("/api/summary").json()["silent"] == 1


def test_a_forecast_is_found_by_issue_time_valid_time_and_lead() -> None:
    records = walks(["a"], 60, missing=0.0)
    api = client(board(records))

    def ask(**query: int | str) -> list[dict[str, Any]]:
        wanted: dict[str, int | str] = {"stream": "a", **query}
        answer = api.get("/api/forecasts", params=wanted)
        found: list[dict[str, Any]] = answer.json()["forecasts"]
        return found

    due = START + 50 * MINUTE
    made = ask(valid=due)
    assert [(line["issued"], line["lead"]) for line in made] == [
        (due - lead * MINUTE, lead) for lead in (1, 6, 12)
    ]
    assert {line["came"] for line in made} == {records[50]["value"]}
    assert made[1]["quantiles"] == pytest.approx(records[44]["multi_step"][5], rel=1e-5, abs=1e-5)
    assert [line["due"] for line in ask(issued=due)] == [due + lead * MINUTE for lead in (1, 6, 12)]
    assert [line["lead"] for line in ask(issued=START + 59 * MINUTE)] == list(range(1, 13))
    (one,) = ask(valid="2023-11-14T00:50:00Z", lead=6)
    assert one == made[1]
    assert ask(issued=START - MINUTE) == []


def test_what_was_expected_of_a_reading_and_where_readings_are_missing() -> None:
    rng = np.random.default_rng(1)
    steps = [*range(10), *range(15, 20)]
    records = [forecast("a", step, None if step == 4 else float(step), rng) for step in steps]
    shown = client(board(records)).get("/api/streams/one?stream=a").json()
    history = shown["history"]
    assert history["values"] == [record["value"] for record in records]
    assert history["expected"][0] == history["expected"][10] == [None] * 3
    assert history["expected"][5] == pytest.approx(records[4]["one_step"], rel=1e-6, abs=1e-5)
    assert shown["gaps"] == [{"from": START + 9 * MINUTE, "to": START + 15 * MINUTE, "missing": 5}]
    assert shown["fan"]["quantiles"] == records[-1]["multi_step"]


def test_what_the_record_says_was_expected_is_shown_also_after_a_gap() -> None:
    rng = np.random.default_rng(1)
    steps = [*range(10), *range(15, 20)]
    records = with_expected([forecast("a", step, float(step), rng) for step in steps])
    api = client(board(records))
    history = api.get("/api/streams/one?stream=a").json()["history"]
    assert history["expected"][0] == [None] * 3
    for shown, record in zip(history["expected"][1:], records[1:], strict=True):
        assert shown == pytest.approx(record["expected"], rel=1e-6, abs=1e-5)
    made = api.get("/api/forecasts?stream=a&lead=1").json()["forecasts"]
    assert [(line["issued"], line["due"]) for line in made] == [
        (START + (step - 1) * MINUTE, START + step * MINUTE) for step in [20, *steps[:0:-1]]
    ]
    assert [line["came"] for line in made[1:]] == [float(step) for step in steps[:0:-1]]
    assert made[0]["quantiles"] == records[-1]["one_step"]


def test_a_restart_shows_what_was_expected_of_the_first_reading_that_it_reads() -> None:
    records = with_expected(walks(["a"], 30, missing=0.0))[10:]
    api = client(board(records))
    history = api.get("/api/streams/one?stream=a").json()["history"]
    assert history["expected"][0] == pytest.approx(records[0]["expected"], rel=1e-5)
    (line, *_) = api.get("/api/accuracy?stream=a").json()["accuracy"]["day"]
    assert line["scored"] == len(records)


def test_the_history_is_bounded_and_a_change_of_model_is_dated() -> None:
    rng = np.random.default_rng(1)
    records = [
        forecast("a", step, 1.0, rng, model="new@2" if step >= 45 else "old@1")
        for step in range(60)
    ]
    shown = client(board(records, history=20)).get("/api/streams/one?stream=a&limit=1000").json()
    assert shown["history"]["timestamps"] == [START + step * MINUTE for step in range(40, 60)]
    assert shown["models"] == [
        {"from": None, "model": "old@1"},
        {"from": START + 45 * MINUTE, "model": "new@2"},
    ]


def test_a_list_is_also_csv_and_no_cell_is_a_formula() -> None:
    rng = np.random.default_rng(1)
    api = client(board([forecast('=cmd|"x"!A1', 0, 1.5, rng), forecast("a,\n\"b'", 0, 2.5, rng)]))
    answer = api.get("/api/streams?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [line["stream"] for line in lines] == ['\'=cmd|"x"!A1', "a,\n\"b'"]
    assert [line["value"] for line in lines] == ["1.5", "2.5"]
    assert "forecast.middle" in lines[0]
    for path in ("/api/accuracy", "/api/accuracy?stream=a%2C%0A%22b%27", "/api/summary"):
        joint = "&" if "?" in path else "?"
        assert len(api.get(f"{path}{joint}format=csv").text.splitlines()) > 1


def test_an_answer_that_the_client_has_is_not_sent_again(records: list[dict[str, Any]]) -> None:
    api = client(board(records))
    first = api.get("/api/accuracy")
    again = api.get("/api/accuracy", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/api/streams?limit=0", 400, "limit"),
        ("/api/streams?limit=9999999", 400, "limit"),
        ("/api/streams?offset=-1", 400, "offset"),
        ("/api/streams?sort=size", 400, "sort"),
        ("/api/streams?window=year", 400, "window"),
        ("/api/streams?page=2", 400, "page"),
        ("/api/streams?format=xml", 400, "format"),
        ("/api/forecasts?stream=site/00&valid=tomorrow", 400, "valid"),
        ("/api/forecasts?stream=site/00&lead=one", 400, "lead"),
        ("/api/streams/one?stream=unknown", 404, "no such stream"),
        ("/api/streams/one", 404, "no such stream"),
        ("/etc/passwd", 404, "Not Found"),
        ("/..%2f..%2frun.py", 404, "Not Found"),
    ],
)
def test_a_wrong_question_is_answered_by_name(
    records: list[dict[str, Any]], path: str, status: int, named: str
) -> None:
    answer = client(board(records)).get(path)
    assert answer.status_code == status
    assert named in answer.json()["error"]


def test_names_of_any_kind_are_found_by_their_exact_text() -> None:
    names = [
        "<script>alert(1)</script>",
        "a\"b'c",
        "line\nbreak",
        "\u202eevil",
        "x" * 10_000,
        "../..",
        "",
    ]
    rng = np.random.default_rng(1)
    api = client(board([forecast(name, 0, float(i), rng) for i, name in enumerate(names)]))
    for i, name in enumerate(names):
        answer = api.get("/api/streams/one", params={"stream": name})
        assert (answer.json()["stream"], answer.json()["history"]["values"]) == (name, [float(i)])


def test_several_targets_are_series_of_their_own() -> None:
    rng = np.random.default_rng(1)
    base = forecast("a", 0, 1.0, rng)
    record = base | {
        "value": [1.0, 2.0],
        "one_step": {"flow": base["one_step"], "level": base["one_step"]},
        "multi_step": {"flow": base["multi_step"], "level": base["multi_step"]},
    }
    api = client(board([record]))
    lines = api.get("/api/streams").json()["streams"]
    assert [(line["target"], line["value"]) for line in lines] == [("flow", 1.0), ("level", 2.0)]
    refused = api.get("/api/streams/one?stream=a")
    assert refused.status_code == 404 and "level" in refused.json()["error"]
    assert api.get("/api/streams/one?stream=a&target=flow").json()["target"] == "flow"


def test_an_empty_monitor_answers() -> None:
    api = client(board([]))
    for path in ("/api/summary", "/api/streams", "/api/accuracy", "/api/worst", "/api/silent"):
        assert api.get(path).status_code == 200, path
    assert json.loads(api.get("/api/streams").content)["streams"] == []


def test_anomalies_are_as_rare_as_the_accepted_false_alarms() -> None:
    rng = np.random.default_rng(1)
    week = 7 * 24 * 60
    records = [
        forecast("a", step, 1.0, rng, anomaly=float(rank), warm=True)
        for step, rank in enumerate(rng.permutation(week) / week)
    ]
    for wanted in (1.0, 20.0):
        filled = board(records, alarms_per_week=wanted)
        answer = client(filled).get("/api/anomalies?limit=1000").json()
        assert answer["total"] == len(answer["anomalies"]) == wanted
        stamps = [line["timestamp"] for line in answer["anomalies"]]
        assert stamps == sorted(stamps, reverse=True)
    assert client(filled).get("/api/anomalies?stream=b").json()["anomalies"] == []


def test_a_cold_stream_and_a_repeated_record_raise_no_alarm() -> None:
    rng = np.random.default_rng(1)
    cold = [forecast("a", step, 1.0, rng, anomaly=1.0, warm=False) for step in range(5)]
    warm = [forecast("a", step, 1.0, rng, anomaly=1.0, warm=True) for step in range(5, 8)]
    for size in (1, 3, 100):
        answer = client(board(cold + warm + warm, size)).get("/api/anomalies?format=csv")
        assert len(answer.text.splitlines()) == 1 + 3


def test_the_latest_forecast_has_every_lead_and_its_interval() -> None:
    api = client(board(walks(["a"], 30, missing=0.0)))
    answer = api.get("/api/forecasts?stream=a&issued=latest").json()["forecasts"]
    assert [line["lead"] for line in answer] == list(range(1, 13))
    assert {line["issued"] for line in answer} == {START + 29 * MINUTE}
    for line in answer:
        assert [line["low"], line["middle"], line["high"]] == line["quantiles"]
    assert client(board([])).get("/api/forecasts?stream=a&issued=latest").status_code == 404
