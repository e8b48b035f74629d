"""A version of a registry as MLflow records it: a run with figures, and a version of a model.

MLflow receives facts and decides nothing: the champion is the registry's newest change.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from eddycast.service.errors import RegistryUnavailable

if TYPE_CHECKING:
    from mlflow.entities import Run

    from eddycast.service.bundle import Manifest

#: Tag that holds the version of the bundle.
VERSION = "eddycast.version"
_KNOWN = "RESOURCE_ALREADY_EXISTS"
_FIGURES = ("mse", "mae", "wql", "mase", "coverage_80")


def record(uri: str, model: str, manifest: Manifest, tags: dict[str, str]) -> str:
    """Record a version under the registered model `model` of the MLflow server at `uri`; returns
    MLflow's number of it. A version that is there already is left as it is.

    `tags` are facts beside those of the manifest. Raises RegistryUnavailable.
    """
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        _register(client, model)
        if (number := _number_of(client, model, manifest.version)) is not None:
            return number
        tags = _tags(manifest) | tags
        run = _run(client, model, manifest, tags)
        source = f"{run.info.artifact_uri}/bundle"
        made = client.create_model_version(
            model, source, run.info.run_id, tags=tags, await_creation_for=0
        )
    except MlflowException as error:
        said = str(error).splitlines()[0]
        raise RegistryUnavailable(
            f"MLflow at {uri}: {said}", "check --mlflow; the version is in the registry"
        ) from error
    return str(made.version)


def _register(client: MlflowClient, model: str) -> None:
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != _KNOWN:
            raise


def _number_of(client: MlflowClient, model: str, version: str) -> str | None:
    """MLflow's number of a version; None if it has none."""
    found = client.search_model_versions(f"name = '{model}' and tags.`{VERSION}` = '{version}'")
    return str(found[0].version) if found else None


def _run(client: MlflowClient, model: str, manifest: Manifest, tags: dict[str, str]) -> Run:
    """A finished run with the figures of a manifest."""
    experiment = client.get_experiment_by_name(model)
    place = client.create_experiment(model) if experiment is None else experiment.experiment_id
    run = client.create_run(place, run_name=manifest.label, tags=tags)
    for name, value in _figures(manifest).items():
        client.log_metric(run.info.run_id, name, value)
    client.log_dict(run.info.run_id, manifest.model_dump(mode="json"), "bundle/manifest.json")
    client.set_terminated(run.info.run_id)
    return run


def _figures(manifest: Manifest) -> dict[str, float]:
    """The figures of the backtest by model and measure, as MLflow names them."""
    found: dict[str, Any] = {
        f"{figure.model}/{figure.horizon}/{name}": getattr(figure, name)
        for figure in manifest.backtest
        for name in _FIGURES
    }
    return {k: v for k, v in found.items() if v is not None and math.isfinite(v)}


def _tags(manifest: Manifest) -> dict[str, str]:
    facts = {
        VERSION: manifest.version,
        "eddycast.label": manifest.label,
        "eddycast.family": manifest.family,
        "eddycast.interval_ms": manifest.interval_ms,
        "eddycast.horizon": manifest.horizon,
    }
    if manifest.training is not None:
        facts["eddycast.trained_until_ms"] = manifest.training.end_time_ms
        facts["eddycast.fingerprint"] = manifest.training.fingerprint
    return {name: str(fact) for name, fact in facts.items()}
