"""The log: JSON lines for machines, readable lines for people, and silence from the client."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.log import configure_log, get_log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_not_a_terminal_means_json_lines() -> None:
    stream = io.StringIO()
    configure_log("auto", "info", stream)
    get_log().info("serving", port=9464, partitions=[0, 1])
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["port"], line["partitions"]) == ("serving", "info", 9464, [0, 1])
    assert line["timestamp"].endswith("Z")


def test_a_terminal_means_readable_lines() -> None:
    stream = Terminal()
    configure_log("auto", "info", stream)
    get_log().info("serving", port=9464)
    assert "serving" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_terminal_can_be_told_to_write_json() -> None:
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
