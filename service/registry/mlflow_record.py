"""Records of a model in MLflow: a run with choices and figures, and a version of a model.

MLflow receives facts and decides nothing: the champion is the registry's newest change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from eddycast.service.errors import RegistryUnavailable

if TYPE_CHECKING:
    from mlflow.entities import Run

    from eddycast.service.bundle import Manifest

#: Tag that holds the version of the bundle.
VERSION = "eddycast.version"
_KNOWN = "RESOURCE_ALREADY_EXISTS"
_FIGURES = ("mse", "mae", "wql", "mase", "coverage_80")
#: Characters of a parameter that every server stores.
_MOST = 500


class MlflowServer:
    """The server at `uri`, as a store of runs and of registered models. All methods raise
    RegistryUnavailable if it does not answer or refuses."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def record_version(self, model: str, manifest: Manifest, tags: Mapping[str, str]) -> str:
        """Record a version under the registered model `model`; returns MLflow's number of it. A
        version that is there already is left as it is. `tags` are facts beside those of the
        manifest."""
        with self._client("the version is in the registry") as client:
            _register(client, model)
            if (number := _number_of(client, model, manifest.version)) is not None:
                return number
            tags = _tags(manifest) | dict(tags)
            run = _run(client, _experiment(client, model), manifest, tags, {}, _figures(manifest))
            source = f"{run.info.artifact_uri}/bundle"
            made = client.create_model_version(
                model, source, run.info.run_id, tags=tags, await_creation_for=0
            )
        return str(made.version)

    def prepare(self, experiment: str) -> None:
        """Create an experiment unless it exists: a trial of the server before a long training."""
        with self._client("nothing was trained") as client:
            _experiment(client, experiment)

    def log_training(
        self, experiment: str, manifest: Manifest, choices: Mapping[str, object]
    ) -> str:
        """Log a finished run with the choices, figures and version of a training; returns its id.
        Choices that are None are left out."""
        parameters = {k: str(v)[:_MOST] for k, v in choices.items() if v is not None}
        record, figures = manifest.training, _figures(manifest)
        if record is not None:
            figures |= {"training/seconds": record.seconds, "training/streams": record.streams}
            figures |= {"training/observations": record.observations}
        with self._client("the bundle is written") as client:
            place = _experiment(client, experiment)
            run = _run(client, place, manifest, _tags(manifest), parameters, figures)
        return str(run.info.run_id)

    @contextmanager
    def _client(self, otherwise: str) -> Iterator[MlflowClient]:
        """A client; `otherwise` is what is true although it fails."""
        try:
            yield MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        except MlflowException as error:
            said = str(error).splitlines()[0]
            raise RegistryUnavailable(
                f"MLflow at {self._uri}: {said}", f"check --mlflow; {otherwise}"
            ) from error


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


def _experiment(client: MlflowClient, name: str) -> str:
    """The id of an experiment, which is created if it does not exist."""
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _run(
    client: MlflowClient,
    experiment: str,
    manifest: Manifest,
    tags: dict[str, str],
    parameters: dict[str, str],
    figures: dict[str, float],
) -> Run:
    """A finished run with the manifest of a bundle."""
    run = client.create_run(experiment, run_name=manifest.label, tags=tags)
    now = run.info.start_time
    metrics = [Metric(name, value, now, 0) for name, value in figures.items()]
    params = [Param(name, value) for name, value in parameters.items()]
    client.log_batch(run.info.run_id, metrics, params)
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
