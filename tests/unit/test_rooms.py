"""Import rules that import-linter cannot express:
access to the environment, and imports of the trainer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))

#: Rooms of the service that the trainer may import, and those that only the demo may,
#: or only retraining, which reads archives and topics and publishes into a registry.
SHARED = {
    "eddycast.service.processing.alignment",
    "eddycast.service.bundle",
    "eddycast.service.comparison.significance",
    "eddycast.service.durations",
    "eddycast.service.sealing.manifest_types",
    "eddycast.service.commands.data_options",
    "eddycast.service.commands.expand",
    "eddycast.service.commands.mlflow_server",
    "eddycast.service.processing.engine",
    "eddycast.service.errors",
    "eddycast.service.history",
    "eddycast.service.processing.missing_codes",
    "eddycast.service.model",
    "eddycast.service.sealing.parts",
    "eddycast.service.records",
    "eddycast.service.processing.replay",
    "eddycast.service.registry.rehearsal",
    "eddycast.service.state.arena",
    "eddycast.service.state.room",
    "eddycast.service.sealing.trust",
    "eddycast.service.humanize",
    "eddycast.service.settings.cli_option",
    "eddycast.service.output_files",
}
DEMO = {
    "eddycast.service.app",
    "eddycast.service.broker.memory.broker",
    "eddycast.service.broker.port",
    "eddycast.service.commands.simulate.feed",
    "eddycast.service.delivery.connect",
    "eddycast.service.observability.log",
    "eddycast.service.observability.metric_kinds.METRIC_PREFIX",
    "eddycast.service.pipeline",
    "eddycast.service.settings.security",
    "eddycast.service.settings.bundle",
    "eddycast.service.settings.http",
    "eddycast.service.settings.topics",
    "eddycast.service.settings.load",
    "eddycast.service.settings.settings",
    "eddycast.service.settings.kafka",
}
RETRAINING = {
    "eddycast.service.archive.reading",
    "eddycast.service.commands.models_request",
    "eddycast.service.commands.settings_help",
    "eddycast.service.delivery.connect",
    "eddycast.service.registry",
    "eddycast.service.sealing.signatures",
    "eddycast.service.settings.load",
    "eddycast.service.settings.settings",
}


def shared_with(path: Path) -> set[str]:
    """The rooms of the service that a file of the trainer may import."""
    rooms = {path.stem, path.parent.name}
    if "demo" in path.name or "demo" in path.parent.name:
        return SHARED | DEMO
    return SHARED | RETRAINING if rooms & {"retrain", "retraining"} else SHARED


def imports(path: Path) -> Iterator[str]:
    """Every module named by an import anywhere in the file, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SERVICE, ids=name_of)
def test_only_settings_reads_the_environment(path: Path) -> None:
    reads = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    } & {"environ", "environb", "getenv", "putenv"}
    reads |= {name for name in imports(path) if name in {"os.environ", "os.getenv"}}
    assert not reads or name_of(path) == "service/settings/load.py"


@pytest.mark.parametrize("path", TRAINING, ids=name_of)
def test_the_trainer_takes_only_what_is_shared(path: Path) -> None:
    allowed = shared_with(path)
    for name in imports(path):
        if name.startswith("eddycast.service."):
            parts = name.split(".")
            assert any(".".join(parts[:n]) in allowed for n in range(2, len(parts) + 1)) or any(
                shared.startswith(name + ".") for shared in allowed
            ), name
