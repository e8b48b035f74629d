"""A real MQTT broker, Debian's mosquitto, that keeps its sessions over a restart."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish

#: Debian installs it outside the path of most users.
PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
_PATIENCE_S = 60.0


class Mosquitto:
    """One broker on a port of its own."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.port = _free_port()
        self._config = directory / "mosquitto.conf"
        kept = ["persistence true", f"persistence_location {directory}/", "user root"]
        kept += ["max_queued_messages 0", "sys_interval 0"]
        config = [f"listener {self.port} 127.0.0.1", *kept, *(lines or ["allow_anonymous true"])]
        self._config.write_text("\n".join(config) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline, "mosquitto does not listen"
            assert self._process.poll() is None, "mosquitto has ended"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it; it writes its sessions to disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE_S)
            self._process = None

    def publish(self, messages: Sequence[tuple[str, bytes]], qos: int = 1, **more: Any) -> None:
        """Publish messages, and wait until the broker has them."""
        sent: Any = [
            {"topic": topic, "payload": payload, "qos": qos} | more for topic, payload in messages
        ]
        publish.multiple(sent, hostname="127.0.0.1", port=self.port)


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """`make_mosquitto(*lines)` starts a broker with these lines in its configuration; without any
    it lets everybody in."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    running: list[Mosquitto] = []

    def make(*lines: str) -> Mosquitto:
        directory = tmp_path / f"mosquitto-{len(running)}"
        directory.mkdir()
        running.append(Mosquitto(directory, *lines))
        running[-1].start()
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker that lets everybody in."""
    return make_mosquitto()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
