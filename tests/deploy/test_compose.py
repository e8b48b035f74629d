"""Names, settings and command lines in docker-compose.yml and deploy/Dockerfile exist in the
program, and are those of `make stack`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deploy.stack import commands
from deploy.stack.programs import Layout, Ports
from deploy.stack.watching import FILES, Installed
from eddycast.service.__main__ import build_app
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WATCHING = ("prometheus", "alertmanager", "grafana")
#: Run by hand or by a scheduler, and not by `make stack`.
JOBS = ("retrain",)
OURS = [name for name, one in SERVICES.items() if "build" in one and name not in WATCHING]
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


#: Variables of a container alone: it listens on all of its addresses, and finds its bundle later.
OF_CONTAINERS = {
    f"{PREFIX}{name}" for name in ("HTTP__HOST", "MONITOR__HOST", "BUNDLE__WAIT_S", "LOG__FORMAT")
}
#: Variables whose values are addresses, which differ.
ADDRESSES = {f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS", f"{PREFIX}MONITOR__SERVICES"}
WORKERS = [f"service-{number + 1}" for number in range(commands.SERVICES)]


def test_compose_and_the_stack_run_the_same_processes() -> None:
    ports = Ports.chosen(kafka=0, monitor=0, prometheus=0, metrics=0)
    layout = Layout(ports, Path("/bundle/model"), Path("/nowhere"), Installed())
    programs = {program.name: program for group in layout.groups(train=True) for program in group}
    assert set(programs) == {"kafka", "trainer", "simulator", "monitor", *WORKERS}
    assert set(SERVICES) == {*programs, *WATCHING, *JOBS}
    for name in set(OURS) - set(JOBS):
        module, native = programs[name].command[1:3], programs[name].command[3:]
        assert module == ["-m", "eddycast.service"]
        assert native == command(name)
        variables = environment(name)
        known = programs[name].variables
        assert set(variables) <= {*known, *OF_CONTAINERS}
        for variable in set(variables) - OF_CONTAINERS - ADDRESSES:
            assert variables[variable] == known[variable]


def test_a_model_is_trained_only_when_asked_for() -> None:
    profiles = {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one}
    assert profiles == {"trainer": ["train"], "retrain": ["retrain"]}


def test_a_retraining_reads_what_sensors_send_and_publishes_where_it_may_write() -> None:
    words, variables = command("retrain"), environment("retrain")
    settings = load_settings([], variables)
    assert option(words, "--history") == "kafka"
    assert settings.topics.input == load_settings([], environment("simulator")).topics.input
    ((_, mount),) = (volume.split(":") for volume in SERVICES["retrain"]["volumes"])
    assert settings.registry.url is not None and settings.registry.url.startswith(f"{mount}/")
    services = environment("service-1") | {
        name: value for name, value in variables.items() if "REGISTRY" in name
    }
    assert load_settings([], services).registry == settings.registry, "services may follow it"


@pytest.mark.parametrize("service", [*OURS, *WATCHING])
def test_containers_have_few_rights(service: str) -> None:
    options = SERVICES[service]
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges:true"]
    assert options["mem_limit"]


def test_ports_are_for_this_machine_and_do_not_clash() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    taken = [port.split(":")[1] for port in published]
    assert len(taken) == len(set(taken))


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
    settings = load_settings(command("service-1")[1:], environment("service-1"))
    assert settings.http.host == "0.0.0.0"
    assert reached("service-1") == settings.http.port
    assert f"127.0.0.1:{settings.http.port}/live" in stage("service")
    for name in (*WORKERS, "monitor"):
        grace = float(SERVICES[name]["stop_grace_period"].rstrip("s"))
        assert grace > settings.shutdown_timeout_s


def test_the_monitor_is_reached_and_its_health_is_checked() -> None:
    settings = load_settings(command("monitor")[1:], environment("monitor"))
    assert settings.monitor.host == "0.0.0.0"
    assert reached("monitor") == settings.monitor.port
    assert f"127.0.0.1:{settings.monitor.port}/health" in stage("monitor")


def test_the_monitor_watches_all_workers_in_containers_and_without() -> None:
    port = load_settings([], environment("service-1")).http.port
    given = load_settings([], environment("monitor")).monitor.service_ports
    assert given == tuple((name, port) for name in WORKERS)
    ports = Ports.chosen(kafka=0, monitor=0, prometheus=0, metrics=0)
    layout = Layout(ports, Path("/bundle/model"), Path("/nowhere"), Installed())
    (monitor,) = [
        one for group in layout.groups(train=False) for one in group if one.name == "monitor"
    ]
    native = load_settings([], monitor.variables).monitor.service_ports
    assert [one.port for one in native] == [*ports.services]


def reached(service: str) -> int:
    """The port inside of its container that is published."""
    (port,) = SERVICES[service]["ports"]
    return int(port.split(":")[-1])


@pytest.mark.parametrize("service", [*WORKERS, "simulator", "monitor", *JOBS])
def test_the_broker_is_where_it_is_looked_for(service: str) -> None:
    host, port = load_settings([], environment(service)).kafka.bootstrap_servers.split(":")
    assert (
        f"INSIDE://{host}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert host in SERVICES
    assert SERVICES[service]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert "healthcheck" in SERVICES["kafka"]


def test_the_bundle_is_served_from_where_it_is_trained_to() -> None:
    settings = load_settings([], environment("service-1"))
    assert str(settings.bundle.directory) == option(command("trainer"), "--out")
    mounts = {
        name: dict(volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
        for name in ("trainer", "monitor", *WORKERS, *JOBS)
    }
    assert all(mount == mounts["trainer"] for mount in mounts.values())
    ((volume, target),) = mounts["trainer"].items()
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
        for name in ("service", "monitor", "archive", "simulator", "trainer")
    }
    assert extras == {
        "service": [],
        "monitor": ["monitor,mqtt"],
        "archive": ["data"],
        "simulator": ["samples"],
        "trainer": ["demo"],
    }


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


def mounted(service: str) -> dict[str, Path]:
    """Files and folders of the repository by their path inside a container; all are read-only."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, target, *options = volume.split(":")
        if source.startswith("."):
            assert options == ["ro"]
            found[target] = ROOT / source
            assert found[target].exists(), volume
    return found


def configured(service: str, flag: str) -> Path:
    """The file of the repository that a program is given by a flag."""
    (value,) = re.findall(rf"--{flag}=(\S+)", SERVICES[service]["command"])
    (target,) = [target for target in mounted(service) if value.startswith(target)]
    path: Path = mounted(service)[target] / value.removeprefix(target).lstrip("/")
    assert path.is_file()
    return path


def test_images_of_others_have_exact_versions() -> None:
    images = [SERVICES[name]["image"] for name in ("kafka", "prometheus", "alertmanager")]
    images += re.findall(r"^FROM (\S+)", (ROOT / "deploy/grafana/Dockerfile").read_text(), re.M)
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images), images


def test_prometheus_scrapes_all_that_have_metrics_and_finds_its_rules() -> None:
    path = configured("prometheus", "config.file")
    assert path.parent == FILES
    config = yaml.safe_load(path.read_text())
    assert all((path.parent / name).is_file() for name in config["rule_files"])
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    service = load_settings([], environment("service-1")).http.port
    monitor = load_settings([], environment("monitor")).monitor.port
    assert targets == {
        "eddycast": [f"{name}:{service}" for name in WORKERS],
        "eddycast-monitor": [f"monitor:{monitor}"],
    }
    (managers,) = config["alerting"]["alertmanagers"][0]["static_configs"]
    assert managers["targets"] == [f"alertmanager:{reached('alertmanager')}"]


def test_compose_and_the_stack_have_the_same_rules_and_jobs(tmp_path: Path) -> None:
    ports = Ports.chosen(kafka=0, monitor=0, prometheus=0, metrics=0)
    programs = Installed("/bin/prometheus", "/bin/alertmanager")
    *_, last = Layout(ports, tmp_path, tmp_path, programs).groups(train=False)
    native = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    config = yaml.safe_load(configured("prometheus", "config.file").read_text())
    assert [Path(name).name for name in native["rule_files"]] == config["rule_files"]
    jobs = [[job["job_name"] for job in one["scrape_configs"]] for one in (native, config)]
    assert jobs[0] == jobs[1]
    (manager,) = [program for program in last if program.name == "alertmanager"]
    assert f"--config.file={configured('alertmanager', 'config.file')}" in manager.command


def test_grafana_is_provisioned_with_what_its_dashboards_need() -> None:
    files = mounted("grafana")
    (sources,) = (files["/etc/grafana/provisioning"] / "datasources").glob("*.yml")
    (providers,) = (files["/etc/grafana/provisioning"] / "dashboards").glob("*.yml")
    found = yaml.safe_load(sources.read_text())["datasources"]
    for source in found:
        name, port = source["url"].removeprefix("http://").split(":")
        assert reached(name) == int(port)
    dashboards = list(files["/etc/grafana/dashboards"].glob("*.json"))
    needed = {
        variable["query"]
        for path in dashboards
        for variable in json.loads(path.read_text())["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert needed <= {source["type"] for source in found}
    (provider,) = yaml.safe_load(providers.read_text())["providers"]
    assert provider["options"]["path"] in files
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix("/etc/grafana/dashboards/") in {path.name for path in dashboards}
    dockerfile = (ROOT / "deploy/grafana/Dockerfile").read_text()
    assert "yesoreyeram-infinity-datasource" in dockerfile
    assert re.findall(r"^USER (\S+)", dockerfile, re.M)[-1] != "root"
