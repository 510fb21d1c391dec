"""Hostile HDF5 files: each kind is built here and refused by the one function that opens them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.core.hdf5 import open_checked, read_bounded

h5py = pytest.importorskip("h5py")
VALUES = np.arange(1000, dtype=np.float32)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = VALUES
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    return path


def test_an_honest_file_is_read_whole_and_in_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/x", data=VALUES.reshape(100, 10), chunks=(10, 10), compression="gzip", shuffle=True)
        file["zeros"] = np.zeros(1 << 20)
        file.create_dataset("packed", data=np.zeros(8 << 20, np.uint8), chunks=(1 << 20,), compression="gzip")
        file["deep/loop"] = file["/"]  # a hard link back to the root: the walk must end
        file["soft"] = h5py.SoftLink("/deep/x")
        file["names"] = ["inPix1", "inPix22"]
        file["one"] = 3.5
    with open_checked(path) as file:
        np.testing.assert_array_equal(read_bounded(file["deep/x"]), VALUES.reshape(100, 10))
        np.testing.assert_array_equal(read_bounded(file["soft"], 7, 9), VALUES.reshape(100, 10)[7:9])
        assert not read_bounded(file["packed"]).any()
        assert read_bounded(file["names"]).tolist() == [b"inPix1", b"inPix22"]
        assert read_bounded(file["one"]) == 3.5


@pytest.mark.parametrize("where", ["x", "deep/er/x"])
def test_external_links_are_refused_wherever_they_hide(tmp_path: Path, secret: Path, where: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[where] = h5py.ExternalLink(str(secret), "/x")
        assert file[where].shape == VALUES.shape  # it would have worked
    with pytest.raises(InputError, match="link to elsewhere"), open_checked(path):
        pass


def test_external_storage_is_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", VALUES.shape, np.float32, external=[(str(secret.with_suffix(".bin")), 0, 4000)])
    with pytest.raises(InputError, match="stored in other files"), open_checked(path):
        pass


def test_virtual_datasets_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(VALUES.shape, np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "x", VALUES.shape)
        file.create_virtual_dataset("x", layout)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["x"], VALUES)  # it would have worked
    with pytest.raises(InputError, match="stored in other files"), open_checked(path):
        pass


def test_chunks_never_written_allocate_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (600_000_000,), np.float32, chunks=(1 << 20,))
    assert path.stat().st_size < 8192
    with pytest.raises(InputError, match=r"declares 2400000000 bytes and stores 0"), open_checked(path):
        pass


def test_one_vast_chunk_behind_a_small_dataset(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (4,), np.float32, chunks=(1 << 28,), maxshape=(None,), compression="gzip")
    with pytest.raises(InputError, match="a chunk of /x"), open_checked(path):
        pass


def test_the_stated_limit_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = VALUES
    with open_checked(path, limit_bytes=4000) as file:
        assert read_bounded(file["x"], limit_bytes=4000).shape == VALUES.shape
        with pytest.raises(InputError, match="takes 4000 bytes"):
            read_bounded(file["x"], limit_bytes=3999)
    with pytest.raises(InputError, match="takes 4000 bytes"), open_checked(path, limit_bytes=3999):
        pass


def test_lists_of_free_length_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (50,), h5py.vlen_dtype(np.uint8))
        for i in range(50):
            x[i] = np.zeros(1000, np.uint8)
    with open_checked(path) as file:
        assert len(read_bounded(file["x"])) == 50
        with pytest.raises(InputError, match="more than 49999 bytes"):
            read_bounded(file["x"], limit_bytes=49_999)


def test_references_and_groups_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        file.create_dataset("r", data=[group.ref], dtype=h5py.ref_dtype)
        file["nothing"] = h5py.Empty("f4")
    with open_checked(path) as file:
        for name in ("r", "nothing"):
            with pytest.raises(InputError, match="holds no values"):
                read_bounded(file[name])
        with pytest.raises(InputError, match="not an HDF5 dataset"):
            read_bounded(file["g"])


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(64), b"no such thing"])
def test_what_is_no_hdf5_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.h5 is not a valid HDF5 file"), open_checked(path):
        pass
    with pytest.raises(InputError, match="not there"), open_checked(tmp_path / "b.h5"):
        pass


def test_flipped_bytes_raise_only_input_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("g/x", data=VALUES, chunks=(100,), compression="gzip", fletcher32=True)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            with open_checked(path) as file:
                for group in file.values():
                    for dataset in getattr(group, "values", dict)():
                        read_bounded(dataset)
        except (InputError, KeyError):
            pass
