"""Names, settings and command lines in docker-compose.yml and deploy/Dockerfile exist in the
program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from eddycast.service.__main__ import build_app
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def environment(service: str) -> dict[str, str]:
    """A service's variables as its container would see them.
    Values that YAML would change are refused."""
    variables: dict[str, str] = SERVICES[service].get("environment", {})
    assert all(isinstance(value, str) for value in variables.values()), "quote numbers and booleans"
    return variables


def command(service: str) -> list[str]:
    """The words after `eddycast`."""
    program, *words = shlex.split(SERVICES[service]["command"])
    assert program == "eddycast"
    return words


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def stage(name: str) -> str:
    """The Dockerfile's instructions of a stage,
    and before them those of the stages it stands on."""
    stages = {
        found[1]: (found[0], found[2])
        for found in re.findall(r"(?ms)^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE)
    }
    base, own = stages[name]
    return f"{stage(base) if base in stages else ''}{own}"


def test_there_are_a_broker_a_service_sensors_and_a_trainer() -> None:
    assert set(SERVICES) == {"kafka", "service", "simulator", "trainer"}
    assert SERVICES["trainer"]["profiles"] == ["train"]


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting(service: str) -> None:
    assert all(name.startswith(PREFIX) for name in environment(service))
    load_settings([], environment(service))


@pytest.mark.parametrize("service", OURS)
def test_every_command_is_one_of_the_program(service: str) -> None:
    name, *words = command(service)
    group: Any = typer.main.get_command(build_app([name]))
    with group.make_context("eddycast", [name, *words], resilient_parsing=False) as context:
        subcommand = group.get_command(context, name)
        assert subcommand is not None
        with subcommand.make_context(name, list(words), parent=context) as parsed:
            load_settings(parsed.args, environment(service))


def test_nothing_is_missing_that_only_works_on_one_machine() -> None:
    settings = load_settings(command("service")[1:], environment("service"))
    assert settings.http.host == "0.0.0.0"
    assert [port.split(":")[-1] for port in SERVICES["service"]["ports"]] == [
        str(settings.http.port)
    ]
    assert f"127.0.0.1:{settings.http.port}/live" in DOCKERFILE
    assert float(SERVICES["service"]["stop_grace_period"].rstrip("s")) > settings.shutdown_timeout_s


@pytest.mark.parametrize("service", ["service", "simulator"])
def test_the_broker_is_where_it_is_looked_for(service: str) -> None:
    host, port = load_settings([], environment(service)).kafka.bootstrap_servers.split(":")
    assert (
        f"INSIDE://{host}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert host in SERVICES
    assert SERVICES[service]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert "healthcheck" in SERVICES["kafka"]


def test_the_bundle_is_served_from_where_it_is_trained_to() -> None:
    settings = load_settings([], environment("service"))
    assert str(settings.bundle.directory) == option(command("trainer"), "--out")
    mounts = {
        name: dict(volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
        for name in ("trainer", "service")
    }
    assert mounts["trainer"] == mounts["service"]
    ((volume, target),) = mounts["service"].items()
    assert volume in COMPOSE["volumes"]
    assert str(settings.bundle.directory).startswith(target + "/")
    assert f"-o eddycast {target}" in stage("service")


@pytest.mark.parametrize("service", OURS)
def test_images_are_not_roots_and_have_exact_versions(service: str) -> None:
    build = SERVICES[service]["build"]
    assert build["dockerfile"] == "deploy/Dockerfile"
    lines = stage(build["target"])
    assert re.findall(r"^USER (\S+)", lines, re.M)[-1] == "eddycast"
    (builder,) = re.findall(r"COPY --from=(\S+)", lines)
    for install in re.findall(r"pip install (.*)", stage(builder)):
        assert "-c constraints.txt" in install


def test_only_the_trainer_has_torch() -> None:
    extras = {
        name: re.findall(r"\.\[(\S+)\]", stage(f"{name}-builder"))
        for name in ("service", "simulator", "trainer")
    }
    assert extras == {"service": [], "simulator": ["samples"], "trainer": ["demo"]}


def test_what_the_images_are_built_from_is_sent_along() -> None:
    sent = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M)
        for word in line.split()
    }
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)
