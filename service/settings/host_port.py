"""Addresses as HOST:PORT, in settings."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

_FORM = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/\[\]@,]+)):(?P<port>[0-9]{1,5})")


class HostPort(NamedTuple):
    """A name or an address, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name:9464`, `10.0.0.7:9464` or `[::1]:9464`. Raises ValueError."""
        found = _FORM.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise ValueError(f"{text} is no HOST:PORT")
        return cls(found["v6"] or found["name"], int(found["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
