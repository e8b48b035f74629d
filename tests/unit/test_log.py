"""The log: JSON lines for machines, readable lines for people, nothing from the Kafka client."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import structlog

from eddycast.service.broker.kafka import producer as kafka_producer
from eddycast.service.broker.kafka import transactions as kafka_transactions
from eddycast.service.observability.log import configure_log, get_log, log_everything


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_not_a_terminal_means_json_lines() -> None:
    stream = io.StringIO()
    configure_log("auto", "info", stream)
    get_log().info("serving", port=9464, partitions=[0, 1])
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["port"], line["partitions"]) == (
        "serving",
        "info",
        9464,
        [0, 1],
    )
    assert line["timestamp"].endswith("Z")


def test_a_terminal_means_readable_lines() -> None:
    stream = Terminal()
    configure_log("auto", "info", stream)
    get_log().info("serving", port=9464)
    assert "serving" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_json_can_be_forced_on_a_terminal() -> None:
    stream = Terminal()
    configure_log("json", "info", stream)
    get_log().info("serving")
    assert json.loads(stream.getvalue())["event"] == "serving"


def test_the_level_is_kept() -> None:
    stream = io.StringIO()
    configure_log("json", "warning", stream)
    get_log().info("not worth it")
    get_log().warning("worth it")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["worth it"]


def test_an_exception_is_one_line_of_json() -> None:
    stream = io.StringIO()
    configure_log("json", "info", stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        get_log().exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_libraries_warn_through_the_same_line_and_the_client_is_quiet() -> None:
    stream = io.StringIO()
    configure_log("json", "info", stream)
    logging.getLogger("some.library").warning("careful: %s", "edge")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("kafka.client").error("nobody answers")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "careful: edge"
    assert json.loads(line)["logger"] == "some.library"


def test_messages_of_the_broker_are_logged_at_level_debug() -> None:
    for level, lines in (("info", 0), ("debug", 2)):
        stream = io.StringIO()
        configure_log("json", level, stream)
        for room in (kafka_producer, kafka_transactions):
            room.log.debug("in passing")
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
            "in passing"
        ] * lines


def test_warnings_of_python_are_lines_of_the_log() -> None:
    stream = io.StringIO()
    configure_log("json", "info", stream)
    log_everything()
    warnings.warn_explicit("soon gone", DeprecationWarning, "some/file.py", 3)
    (line,) = stream.getvalue().splitlines()
    assert "soon gone" in json.loads(line)["event"] and json.loads(line)["level"] == "warning"


def test_an_uncaught_error_is_one_line_of_json_in_any_thread() -> None:
    stream = io.StringIO()
    configure_log("json", "info", stream)
    log_everything()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    for line in stream.getvalue().splitlines():
        said = json.loads(line)
        assert (said["level"], said["reason"]) == ("critical", "division by zero")
        assert said["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_stack_trace_shows_no_variables(form: Literal["json", "console"]) -> None:
    stream = io.StringIO()
    configure_log(form, "info", stream)

    def fail(password: str) -> None:
        raise ValueError(len(password))

    secret = "hunter" + "2"  # a stack trace shows this line as it stands
    try:
        fail(secret)
    except ValueError:
        get_log().exception("it failed")
    assert "it failed" in stream.getvalue() and "hunter2" not in stream.getvalue()


FATAL = {
    "no bundle": (["--bundle.directory", "nowhere", "--http.port", "0"], 3),
    "a setting that is none": (["--kafka.gruop", "x"], 2),
    "settings that disagree": (["--topics.input", "forecasts"], 2),
    "no broker of that form": (["--kafka.bootstrap_servers", ""], 2),
}


@pytest.mark.parametrize("why", FATAL)
@pytest.mark.parametrize("form", ["flag", "variable"])
def test_the_last_line_of_a_service_is_json(why: str, form: str, tmp_path: Path) -> None:
    flags, code = FATAL[why]
    command = [
        sys.executable,
        "-m",
        "eddycast.service",
        "serve",
        *flags,
        *(["--log.format=json"] if form == "flag" else []),
    ]
    variables = {"EDDYCAST_LOG__FORMAT": "json"} if form == "variable" else {}
    root = str(Path(__file__).parents[2] / "deploy/package")
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": root, **variables},
        capture_output=True,
        timeout=300,
    )
    lines = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert done.returncode == code and done.stdout == b""
    assert lines[-1]["event"] == "ended" and lines[-1]["exit_code"] == code and lines[-1]["reason"]
