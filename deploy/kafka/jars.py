"""Kafka's jars, fetched once with Maven into the user's cache and shared by all processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")


class KafkaServerError(Exception):
    """Kafka could not be fetched or started; the message names the reason and the log."""


def jars() -> Path:
    """Return the directory with all jars of `pom.xml`, fetching them if needed.

    Raises KafkaServerError if Maven is missing or fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eddycast"
    content = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    directory = cache / f"kafka-{content}"
    if directory.is_dir():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers may run concurrently
        if not directory.is_dir():
            _fetch(directory)
    return directory


def _fetch(directory: Path) -> None:
    """Fetch the jars into a temporary directory and rename it,
    so that `directory` is always complete."""
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaServerError(
            "Maven is needed to fetch Apache Kafka: install it (`apt install maven`)"
        )
    partial = Path(tempfile.mkdtemp(prefix="kafka-", dir=directory.parent))
    try:
        command = [
            maven,
            "--batch-mode",
            "--quiet",
            "--file",
            str(POM),
            "dependency:copy-dependencies",
        ]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not list(partial.glob("kafka_*.jar")):
            raise KafkaServerError(
                f"Maven could not fetch Apache Kafka: {(done.stdout + done.stderr)[-2000:]}"
            )
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
