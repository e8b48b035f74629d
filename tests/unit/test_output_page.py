"""docs/output.md: its table of fields is that of the schema, and its recipes work."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from eddycast.service.archive.archiver import Archiver
from eddycast.service.archive.forecast_rows import ForecastRows
from eddycast.service.settings.output import OutputSettings
from tests.monitor.brute_force import by_lead
from tests.monitor.records import walks
from tests.support.faulty_broker import FaultyBroker
from tests.support.output_page import PAGE, due_times_of_the_page, encoded, fences
from tests.support.running import OUTPUT, memory_broker
from tests.support.schemas import schema

MINUTE = 60_000


def test_the_table_of_fields_is_that_of_the_schema() -> None:
    known = schema("forecast")
    rows = [
        f"| `{name}` | {'always' if name in known['required'] else 'sometimes'} | "
        f"{field['description']} |"
        for name, field in known["properties"].items()
    ]
    head = "| field | there | meaning |\n| --- | --- | --- |\n"
    table, _, _ = PAGE.partition(head)[2].partition("\n\n")
    assert table.splitlines() == rows


def test_every_setting_of_the_group_is_explained() -> None:
    for name in OutputSettings.model_fields:
        assert f"| `output.{name}` |" in PAGE


# ---- due times -----------------------------------------------------------------------------------

DAYS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("changes", "minutes"),
    [
        ({}, [1, 2]),
        ({"multi_step": None}, []),
        ({"leads": [1, 24]}, [1, 24]),
        ({"forecast_interval_ms": 60 * MINUTE}, [60, 120]),
        ({"forecast_interval_ms": 60 * MINUTE, "leads": [1, 24]}, [60, 24 * 60]),
        ({"multi_step": {"flow": [[1.0], [2.0]], "level": [[1.0], [2.0]]}}, [1, 2]),
    ],
)
def test_due_times_in_python(changes: dict[str, Any], minutes: list[int]) -> None:
    forecast = {"timestamp": DAYS, "interval_ms": MINUTE, "multi_step": [[1.0], [2.0]]} | changes
    found = due_times_of_the_page()(forecast)
    assert found == [DAYS + minute * MINUTE for minute in minutes]


def test_due_times_in_java_are_those_in_python(tmp_path: Path) -> None:
    """The single-file launcher of Java compiles and runs the page's class."""
    (program,) = fences("java")
    file = tmp_path / "DueTimes.java"
    file.write_text(program)
    ran = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", str(file)], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    forecast = {"timestamp": DAYS, "interval_ms": MINUTE, "multi_step": [[], []]}
    coarse = forecast | {"forecast_interval_ms": 60 * MINUTE, "leads": [1, 24]}
    assert ran.stdout.splitlines() == [
        f"[{', '.join(map(instant, due_times_of_the_page()(one)))}]" for one in (forecast, coarse)
    ]


def instant(ms: int) -> str:
    """An Instant of whole seconds in Java's notation."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- DuckDB --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A database with the page's views over an archive of walks of two streams."""
    directory = tmp_path_factory.mktemp("archive")
    broker: FaultyBroker = memory_broker()
    with broker.producer() as producer:
        values = encoded(RECORDS)
        producer.produce(OUTPUT, 0, [None] * len(values), values)
        producer.flush(1.0)
    Archiver(broker, OUTPUT, ForecastRows(), directory, 60.0).run(Event(), once=True)
    views, _, _ = fences("sql")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Pacific/Apia'")
    connection.execute(views.replace("/srv/archive", str(directory)))
    return connection


RECORDS = walks(["boiler-7", "plant/1"], 60, seed=2)


def test_what_was_forecast_for_a_time_in_sql(database: duckdb.DuckDBPyConnection) -> None:
    due = RECORDS[-1]["timestamp"]
    _, query, _ = fences("sql")
    asked, replaced = re.subn(
        r"TIMESTAMPTZ '[^']*'", f"TIMESTAMPTZ '{instant(due)[:-1]}+00'", query
    )
    assert replaced == 1
    expected = [
        ("boiler-7", record["timestamp"], lead, record["multi_step"][lead - 1])
        for record in RECORDS
        for lead in range(12, 0, -1)
        if record["stream"] == "boiler-7" and record["timestamp"] + lead * MINUTE == due
    ]
    found = database.execute(asked).fetchall()
    assert len(found) > 6
    assert [(name, ms_of(issued), lead, levels) for name, issued, lead, levels in found] == expected


def ms_of(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_the_error_by_lead_in_sql(database: duckdb.DuckDBPyConnection) -> None:
    found = database.execute(fences("sql")[2]).fetchall()
    assert [lead for lead, _, _ in found] == list(range(1, 13))
    streams = [[r for r in RECORDS if r["stream"] == name] for name in ("boiler-7", "plant/1")]
    for lead, scored, mae in found[1:]:  # the first step of multi_step is not one_step in walks
        sums = [by_lead(own, [lead], 0)[0] for own in streams]
        assert scored == sum(one["n"] for one in sums) > 0
        assert mae == pytest.approx(sum(one["error"] for one in sums) / scored)
