"""The manifests of deploy/kubernetes: valid for the API server, and names, settings and command
lines in them exist in the program and fit together."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from eddycast.service.__main__ import build_app
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
FOLDERS = ("base", "keda", "prometheus")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
#: The API server knows these without an operator.
NATIVE = ("v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1")
Manifest = dict[str, Any]


def kustomization(folder: str) -> Manifest:
    found: Manifest = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    return found


@cache
def manifests() -> dict[tuple[str, str], Manifest]:
    """Everything that is applied, by kind and name."""
    found = [
        one
        for folder in FOLDERS
        for name in kustomization(folder)["resources"]
        for one in yaml.safe_load_all((FOLDER / folder / name).read_text())
    ]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(by_name) == len(found)
    return by_name


def template(manifest: Manifest) -> Manifest:
    """The pod of a workload."""
    spec = manifest["spec"]
    found: Manifest = spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec
    pod: Manifest = found["template"]
    return pod


KINDS = ("StatefulSet", "Deployment", "CronJob")
WORKLOADS = {name: one for (kind, name), one in manifests().items() if kind in KINDS}


def pod(name: str) -> Manifest:
    found: Manifest = template(WORKLOADS[name])["spec"]
    return found


def container(name: str) -> Manifest:
    (found,) = pod(name)["containers"]
    return dict(found)


def variables(name: str) -> dict[str, str]:
    """Environment of a container: the shared settings and its own."""
    (generated,) = kustomization("base")["configMapGenerator"]
    assert container(name)["envFrom"] == [{"configMapRef": {"name": generated["name"]}}]
    shared = dict(literal.split("=", 1) for literal in generated["literals"])
    own = {one["name"]: one.get("value", name + "-0") for one in container(name).get("env", [])}
    assert all(isinstance(value, str) for value in own.values()), "quote numbers and booleans"
    return shared | own


def settings(name: str) -> Settings:
    return load_settings([], variables(name))


def test_every_file_belongs_to_its_folder() -> None:
    for folder in FOLDERS:
        files = {path.name for path in (FOLDER / folder).iterdir()} - {"kustomization.yaml"}
        assert files == set(kustomization(folder)["resources"])


@pytest.mark.parametrize("name", sorted(manifests()), ids=" ".join)
def test_the_api_server_takes_it(name: tuple[str, str]) -> None:
    """Checked by the schemas of the newest Kubernetes that the validator knows, without unknown
    fields. Kinds of operators have no schema here."""
    manifest = manifests()[name]
    if manifest["apiVersion"] in NATIVE:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    else:
        assert manifest["apiVersion"] in ("keda.sh/v1alpha1", "monitoring.coreos.com/v1")


def test_the_validator_refuses_what_is_misspelt() -> None:
    wrong = {**manifests()["Service", "eddycast-workers"], "spec": {"clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_variable_is_a_setting_and_every_command_one_of_the_program(name: str) -> None:
    assert all(variable.startswith(PREFIX) for variable in variables(name))
    program, command, *words = container(name)["args"]
    assert program == "eddycast"
    group: Any = typer.main.get_command(build_app([command]))
    with group.make_context("eddycast", [command, *words]) as context:
        subcommand = group.get_command(context, command)
        assert subcommand is not None
        with subcommand.make_context(command, list(words), parent=context) as parsed:
            load_settings(parsed.args, variables(name))


@pytest.mark.parametrize("name", WORKLOADS)
def test_images_are_those_that_the_dockerfile_builds(name: str) -> None:
    image = container(name)["image"]
    assert image in [one["name"] for one in kustomization("base")["images"]]
    assert re.search(rf"^FROM runtime AS {image.removeprefix('eddycast-')}$", DOCKERFILE, re.M)


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_have_few_rights(name: str) -> None:
    (user,) = re.findall(r"useradd .*--uid (\d+)", DOCKERFILE)
    rights, own = pod(name)["securityContext"], container(name)["securityContext"]
    assert rights["runAsNonRoot"] is True
    assert rights["runAsUser"] == rights["fsGroup"] == int(user)
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False
    assert pod(name)["enableServiceLinks"] is False
    assert {"cpu", "memory"} == set(container(name)["resources"]["requests"])
    assert "memory" in container(name)["resources"]["limits"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_stop_is_waited_for(name: str) -> None:
    assert pod(name)["terminationGracePeriodSeconds"] > settings(name).shutdown_timeout_s


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_folder_of_a_setting_is_a_volume(name: str) -> None:
    """And may be written where the command writes."""
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    claims = [
        one["persistentVolumeClaim"]["claimName"]
        for one in volumes.values()
        if "persistentVolumeClaim" in one
    ]
    assert all(("PersistentVolumeClaim", claim) in manifests() for claim in claims)
    found, command = settings(name), container(name)["args"][1]
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    used: dict[str, tuple[set[str | None], set[str | None]]] = {
        "serve": ({found.registry.url}, {str(found.registry.directory)}),
        "monitor": ({found.registry.url}, set()),
        "archive": (set(), {str(found.archive.directory)}),
        "retrain": ({str(found.archive.directory)}, {found.registry.url}),
    }
    reads, writes = used[command]
    assert reads | writes | {"/tmp"} == set(mounts)
    assert writes | {"/tmp"} == writable


def test_workers_are_static_members_that_need_not_wait_for_each_other() -> None:
    """A worker that restores is not ready: in order, the second would wait for the first."""
    worker = WORKLOADS["eddycast-worker"]["spec"]
    assert worker["podManagementPolicy"] == "Parallel"
    assert settings("eddycast-worker").kafka.instance_id == "eddycast-worker-0"
    (member,) = (one for one in container("eddycast-worker")["env"] if "valueFrom" in one)
    assert member["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert ("Service", worker["serviceName"]) in manifests()
    assert worker["replicas"] <= settings("eddycast-worker").topics.partitions


def test_the_monitor_watches_every_worker_and_may() -> None:
    (given,) = settings("eddycast-monitor").monitor.service_ports
    service = manifests()["Service", given.host]["spec"]
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"] is True
    (port,) = service["ports"]
    assert port["port"] == given.port == settings("eddycast-worker").http.port
    labels = service["selector"]
    policies = [one["spec"] for (kind, _), one in manifests().items() if kind == "NetworkPolicy"]
    monitor = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "eddycast-monitor"}}}
    worker = {"podSelector": {"matchLabels": labels}}
    ports = [{"port": port["targetPort"]}]
    assert worker | {
        "policyTypes": ["Ingress"], "ingress": [{"from": [monitor], "ports": ports}]
    } in policies  # fmt: skip
    assert monitor | {
        "policyTypes": ["Egress"], "egress": [{"to": [worker], "ports": ports}]
    } in policies  # fmt: skip


@pytest.mark.parametrize(
    ("name", "port", "paths"),
    [
        (
            "eddycast-worker",
            "metrics",
            {"startup": "/live", "liveness": "/live", "readiness": "/ready"},
        ),
        (
            "eddycast-monitor",
            "http",
            dict.fromkeys(("startup", "liveness", "readiness"), "/health"),
        ),
    ],
)
def test_probes_ask_what_is_served(name: str, port: str, paths: dict[str, str]) -> None:
    found = settings(name)
    address = found.http if port == "metrics" else found.monitor
    assert address.host == "0.0.0.0"
    assert container(name)["ports"] == [{"name": port, "containerPort": address.port}]
    for probe, path in paths.items():
        assert container(name)[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port}


def test_selectors_and_ports_are_those_of_pods() -> None:
    labels = {name: template(WORKLOADS[name])["metadata"]["labels"] for name in WORKLOADS}
    for name in WORKLOADS:
        if "selector" in WORKLOADS[name]["spec"]:
            assert (
                WORKLOADS[name]["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
            )
    ports = {port["name"] for name in WORKLOADS for port in container(name).get("ports", [])}
    for (kind, _), manifest in manifests().items():
        spec = manifest["spec"]
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector)
        assert not wanted or any(wanted.items() <= own.items() for own in labels.values()), kind
        for rule in (*spec.get("ingress", []), *spec.get("podMetricsEndpoints", [])):
            named = [port["port"] for port in rule.get("ports", [])] or [rule["port"]]
            assert set(named) <= ports


def test_prometheus_gives_the_jobs_that_alerts_and_dashboards_ask_for() -> None:
    jobs = {one["job_name"] for one in _scraped()}
    found = set()
    for kind, endpoints in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for (own, _), manifest in manifests().items():
            if own == kind:
                (endpoint,) = manifest["spec"][endpoints]
                (relabeling,) = endpoint["relabelings"]
                assert relabeling["targetLabel"] == "job"
                found.add(relabeling["replacement"])
    assert found == jobs


def _scraped() -> list[Manifest]:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    found: list[Manifest] = yaml.safe_load(text)["scrape_configs"]
    return found


def test_workers_are_scaled_by_the_lag_of_their_group_up_to_the_partitions() -> None:
    scaler = manifests()["ScaledObject", "eddycast-worker"]["spec"]
    kind, name = scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"]
    assert (kind, name) in manifests()
    found = settings(name)
    (trigger,) = scaler["triggers"]
    assert trigger["metadata"]["bootstrapServers"] == found.kafka.bootstrap_servers
    assert trigger["metadata"]["consumerGroup"] == found.kafka.group
    assert trigger["metadata"]["topic"] == found.topics.input
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert scaler["maxReplicaCount"] == found.topics.partitions
    (patch,) = kustomization("keda")["patches"]
    assert (patch["target"]["kind"], patch["target"]["name"]) == (kind, name)
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
