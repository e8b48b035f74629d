"""The local Kafka: it restarts with its port and data, and never outlives its parent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.kafka import HURRIED, KafkaServer, KafkaServerError
from deploy.kafka.node import Node
from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.settings.kafka import KafkaSettings

pytestmark = pytest.mark.kafka


def test_a_killed_node_returns_on_its_port_with_its_data() -> None:
    with KafkaServer(jvm=HURRIED) as server:
        address = server.bootstrap_servers
        admin = KafkaBroker(KafkaSettings(bootstrap_servers=address)).admin()
        admin.create_topic("kept", 3)
        admin.close()
        server.kill()
        assert not _listens(address)
        server.restart()
        assert server.bootstrap_servers == address
        admin = KafkaBroker(KafkaSettings(bootstrap_servers=address)).admin()
        assert admin.partitions("kept") == 3
        admin.close()
    assert not _listens(address)


def test_kafka_dies_with_the_process_that_started_it() -> None:
    script = """
import time
from deploy.kafka import KafkaServer
with KafkaServer() as server:
    print(server.bootstrap_servers, server.log_files()[0].parent, flush=True)
    time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    address, directory = owner.stdout.readline().split()
    assert _listens(address)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    _until(lambda: not _listens(address))
    shutil.rmtree(directory)


def test_the_command_prints_the_address_and_ends_on_ctrl_c() -> None:
    port = _free_port()
    command = [sys.executable, "-m", "deploy.kafka", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert f"127.0.0.1:{port}" in process.stdout.readline()
    assert _listens(f"127.0.0.1:{port}")
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 0
    process.stdout.close()
    assert not _listens(f"127.0.0.1:{port}")


def test_the_command_ends_with_an_error_when_kafka_ends_by_itself() -> None:
    command = [sys.executable, "-m", "deploy.kafka", "--port", str(_free_port())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "is ready" in process.stdout.readline()
    children = psutil.Process(process.pid).children(recursive=True)
    (java,) = [child for child in children if child.name() == "java"]
    java.kill()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Kafka ended by itself" in error


def test_a_failed_start_names_the_log_and_leaves_nothing_behind() -> None:
    server = KafkaServer(config={"num.network.threads": "none"})
    with pytest.raises(KafkaServerError, match=r"see .*log") as caught:
        server.start()
    assert "num.network.threads" in str(caught.value)
    log = Path(str(caught.value).split("see ")[1].split(":\n")[0])
    assert log.is_file()
    shutil.rmtree(log.parent)
    assert not _listens(server.bootstrap_servers)


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(holds: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


BUSY = """
import os, sys, threading
def grow():
    with open(sys.argv[1], "ab", buffering=0) as file:
        while True:
            file.write(b".")
            sum(range(1000))
for _ in range(8):
    threading.Thread(target=grow).start()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_frozen_node_does_nothing_any_more(tmp_path: Path) -> None:
    """The node stands still from the start of the block, with any number of threads and on a busy
    machine."""
    grown = tmp_path / "grown"
    node = Node([sys.executable, "-c", BUSY, str(grown)], tmp_path / "log")
    node.start()
    try:
        while not grown.exists() or not grown.stat().st_size:
            time.sleep(0.01)
        for _ in range(10):
            with node.frozen():
                before = grown.stat().st_size
                time.sleep(0.05)
                assert grown.stat().st_size == before
            time.sleep(0.02)
        assert grown.stat().st_size > before, "it went on"
    finally:
        node.kill()
