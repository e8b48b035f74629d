"""The wheel without extras, installed in an environment of its own, serves without torch.

Packages come from the index that pip is set to, and from its cache;
the versions are those of constraints.txt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from zipfile import ZipFile

import pytest

from eddycast.service.settings.settings import PREFIX
from tests.support.processes import Site

ROOT = Path(__file__).parents[2]
#: Top-level names that the wheel installs.
NAMES = {"eddycast"}

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def run(
    *command: str | Path, cwd: Path, variables: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """A command that has no Python path, and no setting but `variables`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=kept | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def succeed(*command: str | Path, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    """Output of a command, which must exit with 0."""
    done = run(*command, cwd=cwd, variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    succeed(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        directory,
        ROOT,
        cwd=directory,
    )
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder of programs of an environment that holds the wheel and what it depends on."""
    directory = wheel.parent / "environment"
    venv.create(directory, with_pip=True)
    programs = directory / "bin"
    pip: list[str | Path] = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    succeed(*pip, "-c", ROOT / "constraints.txt", wheel, cwd=wheel.parent)
    return programs


def test_the_wheel_brings_no_other_name(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        first = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in first if not name.endswith(".dist-info")} == NAMES


def test_the_wheel_brings_the_page_of_the_monitor(wheel: Path) -> None:
    folder = "service/monitor/static"
    with ZipFile(wheel) as archive:
        brought = {name for name in archive.namelist() if f"/{folder}/" in name}
    assert brought == {f"eddycast/{folder}/{file.name}" for file in (ROOT / folder).iterdir()}


def test_doctor_finds_all_well_without_extras(installed: Path, site: Site) -> None:
    cwd = site.directory  # not the repository: what is imported is what was installed
    find = (
        "from importlib.util import find_spec as f; print(*(n "
        "for n in ('torch', 'polars', 'matplotlib') if f(n)))"
    )
    assert succeed(installed / "python", "-c", find, cwd=cwd).split() == []
    variables = {PREFIX + name: value for name, value in site.variables.items()} | {
        "COLUMNS": "200"
    }
    found = succeed(installed / "eddycast", "doctor", cwd=cwd, variables=variables)
    assert site.kafka.bootstrap_servers in found


def test_what_needs_an_extra_names_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text("timestamp,value\n2024-01-01T00:00:00,1\n")
    done = run(installed / "eddycast", "train", "readings.csv", "--out", "model", cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'eddycast[train]'" in done.stderr
