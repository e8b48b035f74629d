"""`make stack`: real processes on a real Kafka, of which none is left in the end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.stack.watching import Installed
from tests.support.bundles import Walk, write_bundle

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
#: Streams of the packaged sample.
STREAMS = 36
SERVE = ["-m", "eddycast.service", "serve"]


@dataclass
class Running:
    """A stack, its output, and the folder that its temporary files are in."""

    process: subprocess.Popen[bytes]
    output: Path
    temporary: Path

    def printed(self) -> str:
        return self.output.read_text()

    def addresses(self) -> dict[str, str]:
        """The addresses that it prints once everything is ready."""
        self.until(lambda: "Ctrl-C" in self.printed(), "it is not ready")
        lines = self.printed().partition("open ")
        return {
            words[0]: words[1]
            for line in (lines[1] + lines[2]).splitlines()
            if len(words := line.split()) > 1
        }

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def services(self) -> list[psutil.Process]:
        """The processes `eddycast serve`, without the shells that guard them."""
        return [child for child in self.children() if child.cmdline()[1:] == SERVE]

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}:\n{self.printed()}"
            time.sleep(0.1)

    def leaves_nothing(self, children: list[psutil.Process]) -> None:
        """Await the end of the children, which are reaped by others, and of the files."""

        def left() -> list[object]:
            running = [child for child in children if child.is_running()]
            return [*running, *self.temporary.iterdir()]

        self.until(lambda: not left(), "something is left")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a stack that serves a bundle made without training."""
    write_bundle(tmp_path / "bundle", Walk(interval_ms=1_800_000))
    started: list[subprocess.Popen[bytes]] = []

    def begin(*flags: str) -> Running:
        temporary, output = tmp_path / "temporary", tmp_path / "output"
        temporary.mkdir()
        command = [sys.executable, "-m", "deploy.stack", "--bundle", str(tmp_path / "bundle")]
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["env", f"TMPDIR={temporary}", *command, *flags],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        started.append(process)
        return Running(process, output, temporary)

    yield begin
    for process in started:
        process.kill()
        process.wait()


def ask(url: str) -> Any:
    """The answer, parsed if it is JSON; None while there is none."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            body = answer.read().decode()
    except (urllib.error.URLError, TimeoutError):
        return None
    return json.loads(body) if body.startswith(("{", "[")) else body


def active(answer: Any) -> list[Any]:
    """Alertmanagers that Prometheus sends alerts to."""
    found: list[Any] = answer["data"]["activeAlertmanagers"] if answer else []
    return found


def scraped(prometheus: str) -> int:
    """Number of targets that are up."""
    answer = ask(f"{prometheus}/api/v1/query?query=sum(up)") or {"data": {"result": []}}
    return sum(int(line["value"][1]) for line in answer["data"]["result"])


def test_the_monitor_shows_forecasts_of_all_streams_and_ctrl_c_leaves_nothing(
    start: Callable[..., Running],
) -> None:
    stack = start()
    addresses = stack.addresses()
    page, prometheus = addresses["open"], addresses["prometheus"]

    def are_forecast() -> bool:
        shown = (ask(f"{page}/api/streams") or {}).get("streams", [])
        return len(shown) == STREAMS and all(
            stream["forecast"]["middle"] is not None for stream in shown
        )

    stack.until(are_forecast, "not all streams have forecasts")
    assert "<html" in ask(page)

    def works() -> bool:
        total = (ask(f"{page}/api/service") or {"total": {}})["total"]
        return total.get("ready") == 2 and (total["records_per_s"] or 0) > 0

    stack.until(works, "the page does not show that both workers serve records")
    if shutil.which("prometheus"):
        stack.until(lambda: scraped(prometheus) == 3, "Prometheus does not scrape everything")
    else:
        assert "prometheus    not installed" in stack.printed()
    if Installed.found().prometheus and Installed.found().alertmanager:
        managers = f"{prometheus}/api/v1/alertmanagers"
        stack.until(lambda: len(active(ask(managers))) == 1, "alerts are sent to nobody")
        rules = ask(f"{prometheus}/api/v1/rules")["data"]["groups"]
        assert {group["name"] for group in rules} >= {"eddycast-recording", "eddycast-forecasts"}
    children = stack.children()
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(PATIENCE_S) == 0, stack.printed()
    stack.leaves_nothing(children)
    ended = [line.split()[0] for line in stack.printed().splitlines() if "stopped" in line]
    assert set(ended[:2]) <= {"simulator", "monitor", "prometheus", "alertmanager"}
    assert ended[-3:] == ["service-1", "service-2", "kafka"]


def test_a_service_that_dies_is_named_with_its_last_lines(start: Callable[..., Running]) -> None:
    stack = start()
    stack.addresses()
    children = stack.children()
    services = stack.services()
    assert len(services) == 2
    services[0].kill()
    assert stack.process.wait(PATIENCE_S) == 1, stack.printed()
    _, named, lines = stack.printed().partition(" ended: exit code 137 (SIGKILL); its last lines:")
    assert named, stack.printed()
    assert "serving" in lines
    stack.leaves_nothing(children)


def test_nothing_outlives_a_stack_that_is_killed(start: Callable[..., Running]) -> None:
    stack = start()
    stack.until(lambda: "kafka         ready" in stack.printed(), "Kafka is not ready")
    children = stack.children()
    stack.process.kill()
    stack.leaves_nothing(children)


def test_it_ends_by_itself_when_asked_to(start: Callable[..., Running]) -> None:
    stack = start("--for", "0")
    assert stack.process.wait(PATIENCE_S) == 0, stack.printed()
    assert "monitor       ready" in stack.printed() and "kafka         stopped" in stack.printed()
