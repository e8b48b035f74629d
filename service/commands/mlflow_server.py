"""The MLflow server that `--mlflow URI` of several commands names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eddycast.service.errors import MissingExtra
from eddycast.service.settings.load import default_variables

if TYPE_CHECKING:
    from eddycast.service.registry.mlflow_record import MlflowServer

#: Variables of MLflow's client: by default it calls a server that is not there for minutes, prints
#: to standard output, and reports its use to its makers.
_VARIABLES = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def mlflow_server(uri: str) -> MlflowServer:
    """The server at `uri`; nothing is connected yet. Raises MissingExtra."""
    default_variables(_VARIABLES)
    try:
        # an extra
        from eddycast.service.registry.mlflow_record import MlflowServer
    except ImportError as error:
        raise MissingExtra(
            "--mlflow needs mlflow-skinny, which is not installed", "pip install 'eddycast[mlflow]'"
        ) from error
    return MlflowServer(uri)
