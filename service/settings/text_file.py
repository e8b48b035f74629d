"""Secrets and certificates in files that settings name."""

from __future__ import annotations

from pathlib import Path

from eddycast.service.errors import SettingsError


def text_of(file: Path, setting: str) -> str:
    """The text of a file without line end and byte order mark; `setting` names it.
    Raises SettingsError if it is empty or unreadable."""
    try:
        text = file.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SettingsError(
            f"{setting}: {file} cannot be read: {reason}", "name a readable file"
        ) from error
    if not text:
        raise SettingsError(f"{setting}: {file} is empty", "put the secret or certificate into it")
    return text
