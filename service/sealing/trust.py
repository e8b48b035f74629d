"""Bundles that an operator trusts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trust:
    """Conditions on a bundle beyond the contract; by default none."""

    version: str = ""  # first digits of the only version to load
    keys: tuple[str, ...] = ()  # public keys, one of which must have signed the bundle
    # ONNX operators allowed besides those of the built-in families
    operators: frozenset[str] = frozenset()

    @classmethod
    def allowing(cls, operators: str | None) -> Trust:
        """Trust any bundle and allow the comma-separated ONNX `operators`, too."""
        return cls(
            operators=frozenset(
                word.strip() for word in (operators or "").split(",") if word.strip()
            )
        )
