"""Parts of the stack with tiny programs: phases, the folder, the kept bundle, the screen."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from deploy.stack.bundle import TrainedBundle
from deploy.stack.folder import RunFolder, run_folder
from deploy.stack.process import Phase, Probe, Process, Program, logged, never
from deploy.stack.programs import Layout, Ports
from deploy.stack.run import ProcessDied, Stack
from deploy.stack.screen import Screen
from deploy.stack.watching import Installed


@pytest.fixture
def folder() -> Iterator[RunFolder]:
    with run_folder() as folder:
        yield folder
    assert not folder.path.exists()


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def running(folder: RunFolder, printed: io.StringIO) -> Iterator[Stack]:
    screen = Screen(Console(file=printed))
    with screen, closing(Stack(folder, screen, threading.Event())) as running:
        yield running


def shell(script: str, ready: Probe = never, name: str = "p", **options: object) -> Program:
    return Program(name, ["/bin/sh", "-c", script], ready, "somewhere", **options)  # type: ignore[arg-type]


SERVING = shell("echo up; sleep 600", logged("up"))


def test_a_line_for_each_change_of_a_process(running: Stack, printed: io.StringIO) -> None:
    assert running.start([SERVING])
    assert running.start([shell("exit 0", name="job", ends=True)])
    running.close()
    lines = [line.split() for line in printed.getvalue().splitlines()]
    assert lines == [
        ["p", "starting"], ["p", "ready", "somewhere"],
        ["job", "starting"], ["job", "done"], ["p", "stopped"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (shell("echo so it is; exit 3"), "exit code 3"),
        (shell("echo so it is; kill -9 $$"), "exit code 137 (SIGKILL)"),
        (shell("echo so it is; exit 0", logged("never said")), "exit code 0"),
        (shell("echo so it is; exit 3", ends=True), "exit code 3"),
        (shell("echo so it is; sleep 600", within_s=1.0), "not ready within 1 s"),
    ],
)
def test_a_process_that_dies_is_named(
    running: Stack, program: Program, why: str, printed: io.StringIO
) -> None:
    with pytest.raises(ProcessDied) as died:
        running.start([program])
    Screen(Console(file=printed)).report(died.value.process)
    lines = printed.getvalue().splitlines()
    place = lines.index(f"p ended: {why}; its last lines:")
    assert lines[place + 1] == "    so it is"


def test_one_that_ignores_a_stop_is_killed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.stack.process.STOP_S", 0.5)
    script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    process = Process(shell(script, logged("up")), folder)
    while process.phase is Phase.STARTING:
        process.look()
    process.terminate()
    process.reap()
    assert process.phase is Phase.STOPPED
    assert process.code == -signal.SIGKILL


def test_processes_that_do_not_stop_are_killed_at_once(running: Stack) -> None:
    deaf = shell("trap '' TERM; echo up; while :; do sleep 0.1; done", logged("up"))
    assert running.start([deaf])
    running.kill()
    with pytest.raises(ProcessDied):
        running.watch(120.0)


def test_a_stop_while_starting_starts_nothing_more(folder: RunFolder) -> None:
    stop = threading.Event()
    stop.set()
    with closing(Stack(folder, Screen(Console(file=io.StringIO())), stop)) as running:
        assert not running.start([shell("sleep 600")])


def test_a_terminal_shows_one_line_per_process_and_where_to_look(folder: RunFolder) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with (
        Screen(console) as screen,
        closing(Stack(folder, screen, threading.Event())) as running,
    ):
        running.start([SERVING])
        screen.note(["open        http://127.0.0.1:1"])
        running.watch(0.3)
    shown = file.getvalue()
    assert "ready" in shown and "somewhere" in shown
    assert "open        http://127.0.0.1:1" in shown


def test_a_bundle_is_used_again_by_the_versions_that_made_it(tmp_path: Path) -> None:
    bundle = TrainedBundle(tmp_path / "bundle")
    assert not bundle.is_current()
    bundle.clear()
    bundle.model.mkdir()
    assert not bundle.is_current(), "a training that was cut short"
    bundle.keep()
    assert TrainedBundle(tmp_path / "bundle").is_current()
    stamp = tmp_path / "bundle" / "made-by.json"
    stamp.write_text(stamp.read_text().replace("lstm", "gru"))
    assert not bundle.is_current()
    bundle.clear()
    assert not bundle.model.exists()


def test_prometheus_scrapes_the_services_and_the_monitor(tmp_path: Path) -> None:
    ports = Ports.chosen(kafka=1, monitor=2, prometheus=3, metrics=4, alertmanager=6)
    layout = Layout(ports, tmp_path, tmp_path, Installed("/bin/prometheus", "/bin/alertmanager"))
    *_, last = layout.groups(train=False)
    programs = {program.name: program for program in last}
    assert f"--config.file={tmp_path}/prometheus.yml" in programs["prometheus"].command
    assert "--web.listen-address=127.0.0.1:3" in programs["prometheus"].command
    assert "--web.listen-address=127.0.0.1:6" in programs["alertmanager"].command
    config = json.loads((tmp_path / "prometheus.yml").read_text())
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets == {
        "eddycast": ["127.0.0.1:4", "127.0.0.1:5"],
        "eddycast-monitor": ["127.0.0.1:2"],
    }
    (managers,) = config["alerting"]["alertmanagers"][0]["static_configs"]
    assert managers["targets"] == ["127.0.0.1:6"]
    assert all(Path(name).is_file() for name in config["rule_files"])
    said = "\n".join(layout.summary())
    assert "http://127.0.0.1:3" in said and "http://127.0.0.1:6" in said


def test_programs_that_are_not_installed_are_named(tmp_path: Path) -> None:
    ports = Ports.chosen(kafka=1, monitor=2, prometheus=3, metrics=4, alertmanager=6)
    layout = Layout(ports, tmp_path, tmp_path, Installed())
    *_, last = layout.groups(train=False)
    assert {program.name for program in last} == {"simulator", "monitor"}
    said = "\n".join(layout.summary())
    assert "apt install prometheus)" in said and "apt install prometheus-alertmanager)" in said
