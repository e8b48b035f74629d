"""Read the arrays of golden.npz, checking declared shapes and sizes before anything is
decompressed."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from eddycast.service.bundle import FILE_LIMIT, Manifest
from eddycast.service.errors import BundleError

Array = NDArray[Any]
#: Maximum length of the sequence and number of rows.
MOST_STEPS, MOST_ROWS = 4_096, 512
_FLOATS = (np.dtype("<f4"), np.dtype("<f8"))
#: Arrays of bundles with jump.onnx, without the axis of steps.
JUMPED = ("jump_steps", "jump_one_step", "jump_multi_step")
_INTEGERS = ("timestamp", "jump_steps")


class _Header(NamedTuple):
    """Shape and dtype as declared in the header of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_golden(path: Path, content: bytes, manifest: Manifest) -> dict[str, Array]:
    """Return the arrays of golden.npz by name; `content` is the file's. Raises BundleError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            headers = _headers(path, archive)
            _check(path, headers, manifest)
            arrays = {name: _array(archive, name) for name in headers}
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise BundleError(
            str(path), "numpy arrays", f"a file that cannot be read ({error})"
        ) from error
    return arrays | {"value": arrays["value"].astype(np.float64, copy=False)}


def _headers(path: Path, archive: zipfile.ZipFile) -> dict[str, _Header]:
    """Read the headers of all arrays, by name.

    Raises BundleError if they exceed the size limit in total,
    or if a header does not match its data's size.
    """
    members = archive.infolist()
    if (size := sum(member.file_size for member in members)) > FILE_LIMIT:
        raise BundleError(str(path), f"at most {FILE_LIMIT:,} bytes of arrays", f"{size:,}")
    headers: dict[str, _Header] = {}
    for member in members[:64]:
        with archive.open(member) as file:
            shape, dtype = _read_header(file)
            declared, stored = (
                dtype.itemsize * int(np.prod(shape, dtype=object)),
                member.file_size - file.tell(),
            )
        name = member.filename.removesuffix(".npy")
        if declared != stored:
            raise BundleError(
                str(path), f"{name} of {stored:,} bytes", f"{declared:,} in its header"
            )
        headers[name] = _Header(shape, dtype)
    return headers


def _read_header(file: IO[bytes]) -> _Header:
    major, _ = npy.read_magic(file)
    if major not in (1, 2):
        raise ValueError(f"an array of format {major}")
    read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return _Header(shape, dtype)


def _check(path: Path, headers: dict[str, _Header], manifest: Manifest) -> None:
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
    optional = {"anomaly": (), "expected": (targets, quantiles), "error": (targets,)}
    trailing |= {name: shape for name, shape in optional.items() if name in headers}
    jumped = JUMPED if manifest.jumps else ()
    for name in jumped:
        trailing[name] = trailing[name.removeprefix("jump_")] if name != JUMPED[0] else ()
    for name, shape in trailing.items():
        if name not in headers:
            raise BundleError(str(path), f"an array {name!r}", f"arrays {sorted(headers)}")
        lead = headers["value"].shape[:2]
        own = lead[1:] if name in jumped else lead
        if headers[name].shape != (*own, *shape) or 0 in lead:
            expected = ", ".join([*("steps", "batch")[-len(own) :], *map(str, shape)])
            raise BundleError(str(path), f"{name} [{expected}]", f"shape {headers[name].shape}")
        if lead[0] > MOST_STEPS or lead[1] > MOST_ROWS:
            raise BundleError(
                str(path),
                f"at most {MOST_STEPS} steps of {MOST_ROWS} rows",
                f"{lead[0]} of {lead[1]}",
            )
        found = headers[name].dtype
        if name in _INTEGERS and found != np.int64:
            raise BundleError(str(path), f"{name} as int64", str(found))
        if name not in _INTEGERS and found not in _FLOATS:
            raise BundleError(str(path), f"{name} as float32 or float64", str(found))
    if surplus := sorted(set(headers) - set(trailing)):
        raise BundleError(str(path), f"arrays {sorted(trailing)}", f"{surplus[0]!r} as well")


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as file:
        array: Array = npy.read_array(file, allow_pickle=False)
        return array
