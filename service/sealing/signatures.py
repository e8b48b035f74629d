"""Signatures of bundles and of changes in a registry.

signature.json in the bundle is an Ed25519 signature of the sha256 of manifest.json, which in turn
holds the sha256 of every other file. A change holds a signature of the sha256 of its other content.
Public keys are 64 hex digits; private keys are PEM files (PKCS #8).
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, StringConstraints

from eddycast.service.errors import BundleError, SettingsError
from eddycast.service.sealing.bundle_files import read_file

SIGNATURE: Final = "signature.json"
_LIMIT = 4_096
#: Prefixes of the signed bytes, so that signatures made for other purposes are not valid here.
_PURPOSE, _CHANGE = b"eddycast bundle manifest sha256 ", b"eddycast registry change sha256 "


class Signature(BaseModel):
    """Signature of a change, with the public key that verifies it; both in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def new_key(path: Path) -> str:
    """Create a key pair, write the private key to `path` (mode 0600) and return the public key.

    Raises SettingsError if the file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}", "name a new file"
        ) from error
    return key.public_key().public_bytes_raw().hex()


def sign(manifest: Path, key: Path) -> str:
    """Sign `manifest` with the private key in the file `key`, next to it,
    and return the public key.

    Raises SettingsError if the file holds no Ed25519 key,
    BundleError if the signature cannot be written.
    """
    private = _private_key(key)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    public = private.public_key().public_bytes_raw().hex()
    content = {"key": public, "signature": private.sign(_PURPOSE + digest.encode()).hex()}
    path = manifest.parent / SIGNATURE
    try:
        path.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise BundleError(
            str(path), "a file that can be written", str(error.strerror), ""
        ) from error
    return public


def verify(manifest: Path, content: bytes, keys: tuple[str, ...]) -> str:
    """Verify the signature next to `manifest`, whose bytes are `content`,
    and return the key that signed.

    Raises BundleError unless one of the trusted `keys` signed it.
    """
    path = manifest.parent / SIGNATURE
    if not path.exists():
        raise BundleError(
            str(path),
            "a signature by a trusted key",
            "an unsigned bundle",
            "sign it: eddycast bundle sign",
        )
    try:
        document = json.loads(read_file(path, _LIMIT))
        key, signature = str(document["key"]).lower(), bytes.fromhex(document["signature"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BundleError(
            str(path), "a key and a signature in hex", "something else", "sign it again"
        ) from error
    if key not in keys:
        raise BundleError(
            str(path),
            "a signature by a trusted key",
            f"one by {key[:64]!r}",
            "see bundle.trusted_keys",
        )
    digest = hashlib.sha256(content).hexdigest()
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            signature, _PURPOSE + digest.encode()
        )
    except InvalidSignature:
        found = "a manifest that was changed after signing"
        raise BundleError(
            str(path), f"the signature of manifest.json by {key[:12]}…", found, "copy it again"
        ) from None
    return key


def sign_change(digest: str, key: Path) -> Signature:
    """Signature of a change whose content has the sha256 `digest`, with the private key in the file
    `key`. Raises SettingsError if the file holds no Ed25519 key."""
    private = _private_key(key)
    return Signature(
        key=private.public_key().public_bytes_raw().hex(),
        signature=private.sign(_CHANGE + digest.encode()).hex(),
    )


def check_signature(
    place: str, digest: str, signature: Signature | None, keys: tuple[str, ...]
) -> None:
    """Raise BundleError, naming `place`, unless one of the trusted `keys` signed `digest`."""
    expected = "a signature by a trusted key"
    if signature is None:
        raise BundleError(place, expected, "none")
    if signature.key not in keys:
        raise BundleError(place, expected, f"one by {signature.key[:12]}…")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.key)).verify(
            bytes.fromhex(signature.signature), _CHANGE + digest.encode()
        )
    except InvalidSignature:
        raise BundleError(place, expected, "content that was changed after signing") from None


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"{path} holds no readable private key", "eddycast bundle keygen makes one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{path} holds no Ed25519 key", "eddycast bundle keygen makes one")
    return key
