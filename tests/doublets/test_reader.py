from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.doublets.reader import read_doublets


@pytest.mark.parametrize("gzipped", [False, True])
def test_what_was_written_is_read(write_file, doublets, gzipped):
    # the study's file is gzipped under a name of plain HDF5, and the other way round is seen too
    path = write_file(doublets.x, doublets.y, name="a.h5" if gzipped else "a.h5.gz", gzipped=gzipped)
    found = read_doublets(path)
    assert np.array_equal(found.x, doublets.x)
    assert np.array_equal(found.y, doublets.y)
    assert found.x.dtype == np.float16
    assert (found.channels, found.classes, found.units) == (("inner", "outer"), ("fake", "true"), "ADC")
    assert found.ids[7] == "doublet_7"
    assert found.content_hash == doublets.content_hash


def test_the_first_pad_is_the_inner_hit_row_by_row(write_file):
    x = np.zeros((2, 512), np.float16)
    x[:, 0] = 1
    x[0, 16 * 3 + 5] = 1000
    x[1, 256 + 16 * 2 + 9] = 2000
    found = read_doublets(write_file(x, [0, 1]))
    assert found.x[0, 0, 3, 5] == 1000
    assert found.x[1, 1, 2, 9] == 2000


def test_repeats_are_counted(write_file, doublets):
    x, y = np.concatenate([doublets.x[:50]] * 3), np.concatenate([doublets.y[:50]] * 3)
    found = read_doublets(write_file(x, y))
    assert (found.source["rows"], found.source["distinct"]) == (150, 50)


def test_minus_zero_is_zero(write_file, doublets):
    x = doublets.x.copy()
    x[x == 0] = np.float16(-0.0)
    assert read_doublets(write_file(x, doublets.y)).content_hash == doublets.content_hash


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_other_number_types_are_taken(write_file, doublets, dtype):
    whole = np.rint(doublets.x.astype(np.float64)).astype(np.float16)
    found = read_doublets(write_file(whole.astype(dtype), doublets.y))
    assert np.array_equal(found.x, whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 7e4])
def test_impossible_charges_are_refused(write_file, doublets, value):
    x = doublets.x.astype(np.float32).reshape(len(doublets), -1)
    x[17, 300] = value
    with pytest.raises(InputError, match=f"doublet 17 holds a charge of {value}"):
        read_doublets(write_file(x, doublets.y))


def test_float16_nan_is_refused(write_file, doublets):
    x = doublets.x.copy()
    x[4, 1, 8, 8] = np.nan
    with pytest.raises(InputError, match="doublet 4 holds a charge of nan"):
        read_doublets(write_file(x, doublets.y))


def test_one_class_only_is_refused(write_file, doublets):
    with pytest.raises(InputError, match="all 1500 doublets are fake"):
        read_doublets(write_file(doublets.x, np.zeros(1500, int)))


def _replaced(name, value):
    def change(file):
        del file["data"][name]
        if value is not None:
            file["data"][name] = value

    return change


def _labels(file):
    file["data/block1_values"][3] = [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replaced("block0_values", np.zeros((1500, 500), np.float16)), r"charges of shape \(1500, 500\)"),
        (_replaced("block0_values", np.zeros(1500, np.float16)), "charges of shape"),
        (_replaced("block0_values", np.zeros((1500, 512), "S3")), "not an array of numbers"),
        (_replaced("block0_values", None), "no /data/block0_values"),
        (_replaced("block1_values", np.zeros((1400, 2))), r"labels of shape \(1400, 2\)"),
        (_replaced("block1_values", np.ones((1500, 2))), r"doublet 0 has labels \[1.0, 1.0\]"),
        (_replaced("block0_items", np.array(["outPix1"] * 512, "S9")), "column 0 is called 'outPix1'"),
        (_labels, r"doublet 3 has labels \[0.5, 0.5\]"),
        (_replaced("block0_values", h5py.SoftLink("/data/block1_values")), "link to elsewhere"),
        (_replaced("block0_values", h5py.ExternalLink("/etc/passwd", "/x")), "link to elsewhere"),
    ],
)
def test_other_layouts_are_refused(write_file, doublets, change, message):
    with pytest.raises(InputError, match=message):
        read_doublets(write_file(doublets.x, doublets.y, change=change))


def test_charges_in_another_file_are_not_followed(write_file, doublets, tmp_path: Path):
    (tmp_path / "raw.bin").write_bytes(b"\0" * (1500 * 512 * 2))

    def change(file):
        del file["data/block0_values"]
        place = [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
        file["data"].create_dataset("block0_values", (1500, 512), np.float16, external=place)

    with pytest.raises(InputError, match="stored in other files"):
        read_doublets(write_file(doublets.x, doublets.y, change=change))


def test_virtual_charges_are_not_followed(write_file, doublets, tmp_path: Path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["x"] = doublets.x.reshape(1500, 512)

    def change(file):
        del file["data/block0_values"]
        layout = h5py.VirtualLayout((1500, 512), np.float16)
        layout[:] = h5py.VirtualSource(str(tmp_path / "raw.h5"), "x", (1500, 512))
        file["data"].create_virtual_dataset("block0_values", layout)

    with pytest.raises(InputError, match="stored in other files"):
        read_doublets(write_file(doublets.x, doublets.y, change=change))


@pytest.mark.parametrize("swapped", [(0, 256), (255, 256), (510, 511)])
def test_columns_in_another_order_are_refused(write_file, doublets, swapped):
    """The right names, two of them exchanged: pads would be mixed without a word."""
    names = [f"{p}Pix{i + 1}" for p in ("in", "out") for i in range(256)]
    i, j = swapped
    names[i], names[j] = names[j], names[i]
    with pytest.raises(InputError, match=f"column {i} is called '{names[i]}'"):
        read_doublets(write_file(doublets.x, doublets.y, change=_replaced("block0_items", np.array(names, "S9"))))


def test_more_doublets_than_the_limit_are_refused(write_file, doublets):
    path = write_file(doublets.x, doublets.y)
    assert len(read_doublets(path, limit_bytes=1500 * 1024)) == 1500
    with pytest.raises(InputError, match="1500 doublets"):
        read_doublets(path, limit_bytes=1500 * 1024 - 1)


def test_damaged_files_are_refused(write_file, doublets, tmp_path: Path):
    path = write_file(doublets.x, doublets.y, gzipped=True)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged gzip"):
        read_doublets(path)
    path.write_bytes(b"not at all")
    with pytest.raises(InputError, match="not a valid HDF5"):
        read_doublets(path)
    plain = gzip.decompress(content)
    path.write_bytes(plain[: len(plain) // 3])
    with pytest.raises(InputError):
        read_doublets(path)
    with pytest.raises(InputError, match="cannot read"):
        read_doublets(tmp_path / "nowhere.h5")
    with pytest.raises(InputError, match="cannot read"):
        read_doublets(tmp_path)


def test_bytes_in_the_middle_of_a_chunk_are_checked(write_file, doublets):
    def change(file):
        del file["data/block0_values"]
        flat = doublets.x.reshape(len(doublets), -1)
        file["data"].create_dataset("block0_values", data=flat, chunks=(100, 512), compression="gzip", fletcher32=True)

    path = write_file(doublets.x, doublets.y, change=change)
    assert np.array_equal(read_doublets(path).x, doublets.x)
    with h5py.File(path) as file:
        chunk = file["data/block0_values"].id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_doublets(path)


def test_an_inflating_bomb_stops_at_the_limit(tmp_path: Path):
    path = tmp_path / "bomb.h5.gz"
    path.write_bytes(gzip.compress(b"\0" * 20_000_000))
    with pytest.raises(InputError, match="inflates to more than 10000000 bytes"):
        read_doublets(path, limit_bytes=10_000_000)


def test_a_claim_of_too_many_rows_is_refused(write_file, doublets):
    def change(file):
        for name, width, dtype in (("block0_values", 512, np.float16), ("block1_values", 2, np.float64)):
            del file["data"][name]
            file["data"].create_dataset(name, (10**9, width), dtype, chunks=(1000, width))  # takes no space

    with pytest.raises(InputError, match="takes 1024000000000 bytes"):
        read_doublets(write_file(doublets.x, doublets.y, change=change))
