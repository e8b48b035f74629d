"""Arrays that grow in place: content stays, new rows are zero, and existing views stay valid."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from eddycast.service.state.mmap_array import MmapArray

ROW = np.dtype([("count", "<i8"), ("level", "<f4")])


@pytest.mark.parametrize(
    ("shape", "dtype"), [((), ROW), ((3,), np.dtype("f4")), ((2, 5), np.dtype("i8"))]
)
def test_growing_keeps_rows_and_adds_zeros(
    shape: tuple[int, ...], dtype: np.dtype[np.void]
) -> None:
    subject = MmapArray(10, shape, dtype)
    subject.array[:] = np.ones((), dtype)
    subject.grow(100_000)
    assert subject.array.shape == (100_000, *shape)
    assert (subject.array[:10] == np.ones((), dtype)).all()
    assert (subject.array[10:] == np.zeros((), dtype)).all()


def test_a_view_that_is_kept_stays_readable_and_new_rows_are_apart() -> None:
    subject = MmapArray(4, (2,), np.dtype("f8"))
    subject.array[:] = 7.0
    kept = subject.array
    subject.grow(1_000_000)
    subject.array[0] = 8.0
    assert kept.tolist() == [[7.0, 7.0]] * 4
    assert subject.array[1].tolist() == [7.0, 7.0]


def test_a_system_that_moves_no_memory_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed(mmap.mmap):
        def resize(self, newsize: int) -> None:
            raise SystemError("mmap: resizing not available--no mremap()")

    monkeypatch.setattr("eddycast.service.state.mmap_array.mmap.mmap", Fixed)
    subject = MmapArray(4, (2,), np.dtype("f8"))
    subject.array[:] = 7.0
    subject.grow(8)
    assert subject.array.tolist() == [[7.0, 7.0]] * 4 + [[0.0, 0.0]] * 4


@pytest.mark.parametrize("moves", [True, False])
def test_out_of_memory_leaves_the_array_unchanged(
    monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    subject = MmapArray(4, (2,), np.dtype("f8"))
    subject.array[:] = 7.0

    class Full(mmap.mmap):
        def resize(self, newsize: int) -> None:
            raise OSError(12, "Cannot allocate memory") if moves else SystemError("no mremap()")

        def __new__(cls, *_: object, **__: object) -> Full:
            raise OSError(12, "Cannot allocate memory")

    class Held(mmap.mmap):
        resize = Full.resize

    subject._memory = Held(-1, 64, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    subject.array = subject._seen(4)
    subject.array[:] = 7.0
    monkeypatch.setattr("eddycast.service.state.mmap_array.mmap.mmap", Full)
    for _ in range(2):
        with pytest.raises(MemoryError, match="1000000 rows"):
            subject.grow(1_000_000)
        assert subject.array.tolist() == [[7.0, 7.0]] * 4
    monkeypatch.undo()
    Held.resize = mmap.mmap.resize  # type: ignore[assignment]
    subject.grow(8)
    assert subject.array.tolist() == [[7.0, 7.0]] * 4 + [[0.0, 0.0]] * 4


@pytest.mark.parametrize(("rows", "shape"), [(0, (2,)), (3, (0,))])
def test_nothing_can_grow(rows: int, shape: tuple[int, ...]) -> None:
    subject = MmapArray(rows, shape, np.dtype("f4"))
    subject.grow(6)
    assert subject.array.shape == (6, *shape)
    assert not subject.array.any()
