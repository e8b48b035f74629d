"""A real schema registry, Apicurio, with its API in the form of Confluent's. It keeps everything in
memory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from deploy.guard import start_guarded
from deploy.kafka.server import free_ports

_VERSION = "3.0.9"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{_VERSION}:tar.gz:all"
_PATIENCE_S = 180.0


class SchemaRegistryServer:
    """Apicurio on a loopback port, which stays the same when it is started again."""

    def __init__(self) -> None:
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="eddycast-registry-"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]
        place = {"host": "127.0.0.1", "port": self._port}
        options += [f"-Dquarkus.http.{name}={value}" for name, value in place.items()]
        jar = _application() / f"apicurio-registry-app-{_VERSION}-runner.jar"
        alive, held = os.pipe()
        log = self._directory / "registry.log"
        self._process = start_guarded(["java", *options, "-jar", str(jar)], log, held=held)
        os.close(held)
        os.close(alive)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            text = log.read_text()[-2000:]
            assert self._process.poll() is None and time.monotonic() < deadline, text
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it; what it held is lost."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The answer to a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=20) as answer:
            return json.load(answer)

    def register(self, subject: str, schema: Any) -> int:
        """The id of a schema, as the next version of a subject."""
        found = self.ask(f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
        return int(found["id"])

    def _answers(self) -> bool:
        with contextlib.suppress(URLError, ConnectionError, TimeoutError):
            return isinstance(self.ask("/subjects"), list)
        return False


def _application() -> Path:
    """The folder of the program, fetched with Maven into the user's cache if it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eddycast"
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / f"apicurio-{_VERSION}"
    with (cache / "apicurio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers may run concurrently
        if not directory.is_dir():
            partial = Path(tempfile.mkdtemp(prefix="apicurio-", dir=cache))
            _fetch(partial)
            partial.rename(directory)
    return directory


def _fetch(directory: Path) -> None:
    command = ["mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={_ARTIFACT}"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={directory}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"Maven could not fetch the registry: {done.stdout[-2000:]}"
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    archive.unlink()


@pytest.fixture(scope="module")
def schema_registry() -> Iterator[SchemaRegistryServer]:
    """A registry for the tests of a file, not started."""
    server = SchemaRegistryServer()
    try:
        yield server
    finally:
        server.stop()
