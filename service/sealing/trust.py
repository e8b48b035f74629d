"""Which bundles an operator trusts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trust:
    """Which bundles are loaded: by default any that keeps the contract."""

    version: str = ""  # the first digits of the only version to be loaded
    keys: tuple[str, ...] = ()  # public keys, one of which has to have signed
    operators: frozenset[str] = frozenset()  # ONNX operators beside those of the built-in families

    @classmethod
    def allowing(cls, operators: str | None) -> Trust:
        """Any bundle, whose graphs may use the `operators` too, comma between."""
        return cls(operators=frozenset(word.strip() for word in (operators or "").split(",") if word.strip()))
