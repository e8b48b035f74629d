"""Read the arrays of golden.npz: what the file claims is held against the contract before anything is unpacked."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.bundle import FILE_LIMIT, Manifest
from service.errors import BundleError

Array = NDArray[Any]
#: Steps of the sequence and rows side by side.
MOST_STEPS, MOST_ROWS = 4_096, 512
_FLOATS = (np.dtype("<f4"), np.dtype("<f8"))


class _Claim(NamedTuple):
    """What an array says of itself in front of its content."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_golden(path: Path, content: bytes, manifest: Manifest) -> dict[str, Array]:
    """The arrays of golden.npz by name. Raises BundleError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            claims = _claims(path, archive)
            _check(path, claims, manifest)
            arrays = {name: _array(archive, name) for name in claims}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(str(path), "numpy arrays", f"a file that cannot be read ({error})") from error
    return arrays | {"value": arrays["value"].astype(np.float64, copy=False)}


def _claims(path: Path, archive: zipfile.ZipFile) -> dict[str, _Claim]:
    """Raises BundleError for more bytes than a bundle's file may have, and for an array that is larger than its
    place in the archive."""
    members = archive.infolist()
    if (size := sum(member.file_size for member in members)) > FILE_LIMIT:
        raise BundleError(str(path), f"at most {FILE_LIMIT:,} bytes of arrays", f"{size:,}")
    claims: dict[str, _Claim] = {}
    for member in members[:64]:
        with archive.open(member) as file:
            shape, dtype = _header(file)
            claimed, there = dtype.itemsize * int(np.prod(shape, dtype=object)), member.file_size - file.tell()
        name = member.filename.removesuffix(".npy")
        if claimed != there:
            raise BundleError(str(path), f"{name} of {there:,} bytes", f"a claim of {claimed:,}")
        claims[name] = _Claim(shape, dtype)
    return claims


def _header(file: IO[bytes]) -> _Claim:
    major, _ = npy.read_magic(file)
    if major not in (1, 2):
        raise ValueError(f"an array of format {major}")
    read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return _Claim(shape, dtype)


def _check(path: Path, claims: dict[str, _Claim], manifest: Manifest) -> None:
    targets, quantiles = len(manifest.targets), len(manifest.quantiles)
    trailing: dict[str, tuple[int, ...]] = {
        "value": (len(manifest.channels),),
        "timestamp": (),
        "scale": (),
        "one_step": (targets, quantiles),
        "surprise": (),
        "scores": (targets, len(manifest.scores)),
        "multi_step": (manifest.horizon, targets, quantiles),
    }
    if "anomaly" in claims:
        trailing["anomaly"] = ()
    for name, shape in trailing.items():
        if name not in claims:
            raise BundleError(str(path), f"an array {name!r}", f"arrays {sorted(claims)}")
        lead = claims["value"].shape[:2]
        if claims[name].shape != (*lead, *shape) or 0 in lead:
            expected = ", ".join(["steps", "batch", *map(str, shape)])
            raise BundleError(str(path), f"{name} [{expected}]", f"shape {claims[name].shape}")
        if lead[0] > MOST_STEPS or lead[1] > MOST_ROWS:
            raise BundleError(str(path), f"at most {MOST_STEPS} steps of {MOST_ROWS} rows", f"{lead[0]} of {lead[1]}")
        found = claims[name].dtype
        if name == "timestamp" and found != np.int64:
            raise BundleError(str(path), "timestamp as int64", str(found))
        if name != "timestamp" and found not in _FLOATS:
            raise BundleError(str(path), f"{name} as float32 or float64", str(found))
    if surplus := sorted(set(claims) - set(trailing)):
        raise BundleError(str(path), f"arrays {sorted(trailing)}", f"{surplus[0]!r} as well")


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as file:
        array: Array = npy.read_array(file, allow_pickle=False)
        return array
