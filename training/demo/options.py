"""The options of `eddycast demo`. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from eddycast.service.errors import DataError
from eddycast.service.settings.cli_option import Option
from eddycast.training.recipe import Recipe

LAST_PORT = 65_535


@dataclass(frozen=True)
class DemoOptions:
    """The data and the model of a demo, and where it runs."""

    kafka: Annotated[
        str | None, Option("HOST:PORT of a Kafka to run over, in processes of its own.")
    ] = None
    out: Annotated[Path, Option("Directory for the bundle, the figures, the picture and logs.")] = (
        Path("build/demo")
    )
    data: Annotated[
        str, Option("History to use in place of the sample: a file, or sample:NAME.")
    ] = "sample:sensors"
    family: Annotated[str, Option("Family to train, as for `eddycast train`.")] = Recipe.family
    seconds: Annotated[
        float, Option("Approximate time in which the hold-out is streamed.", min=1)
    ] = 45.0
    port: Annotated[int, Option("Port of /metrics meanwhile; 0 = any free port.", min=0)] = 0
    seed: Annotated[
        int, Option("Seed of the random numbers; the same seed trains the same model.")
    ] = Recipe.seed
    epochs: Annotated[
        int | None,
        Option("Maximum number of epochs; fewer are quicker.", min=1, shown_default="10"),
    ] = None

    def __post_init__(self) -> None:
        if self.port > LAST_PORT:
            raise DataError(f"--port {self.port} is no port", f"give 0 to {LAST_PORT}")
