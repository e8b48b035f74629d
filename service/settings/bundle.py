"""Settings of the model to serve."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from eddycast.service.sealing.trust import Trust
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import Group


class BundleSettings(Group):
    """The model to serve."""

    directory: Path = Field(
        Path("bundle"), description="Directory of the bundle, as written by `eddycast train`"
    )
    wait_s: float = Field(
        0.0,
        ge=0,
        description="Wait for a missing bundle, or a first champion, at start, at most this long",
    )
    version: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{6,64}$",
        description="Refuse any other version of the bundle; the first 6 or more digits are enough",
    )
    trusted_keys: str | None = Field(
        None,
        pattern=r"^ *[0-9a-f]{64} *(, *[0-9a-f]{64} *)*$",
        description="Refuse a bundle that is not signed by one of these public keys, separated by "
        "commas; none = no signature needed",
    )
    operators: str | None = Field(
        None,
        pattern=r"^ *[A-Za-z0-9]+ *(, *[A-Za-z0-9]+ *)*$",
        description=(
            "Allow these ONNX operators beside the usual "
            "ones, as If,Loop: only if you trust the bundle"
        ),
    )

    @property
    def trust(self) -> Trust:
        """Checks that a bundle must pass to be loaded."""
        keys, operators = (listed(setting or "") for setting in (self.trusted_keys, self.operators))
        return Trust(self.version or "", keys, frozenset(operators))
