"""Settings of `eddycast archive`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveFloat

from eddycast.service.errors import SettingsError
from eddycast.service.settings.group import Group


class ArchiveSettings(Group):
    """Topics as Parquet files, written by `eddycast archive` and read by `eddycast retrain`."""

    directory: Path | None = Field(
        None, description="Directory of the archive, in which each topic has a folder"
    )
    flush_s: PositiveFloat = Field(
        60.0, description="Write files that are not complete yet this often"
    )

    def place(self) -> Path:
        """The directory. Raises SettingsError if none is set."""
        if self.directory is None:
            raise SettingsError(
                "no archive is named", "set archive.directory, as a flag or variable"
            )
        return self.directory
