"""Files that are not what manifest or archive say are refused; a new file at an old place is a new scene."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scene.make_scenes import band_folder, eopf, pixels, safe, write_band
from skytrigger.core.errors import InputError
from skytrigger.eo.scene.checksums import check_files
from skytrigger.eo.scene.opening import open_scene


@pytest.fixture(scope="module")
def bands():
    return {n: v for n, v in pixels(126, 90, offset=-1000.0).items() if n in ("B02", "B05", "B10")}


def manifest(folder: Path, name: str) -> None:
    """As products have it."""
    entries = []
    for file in sorted(folder.rglob("*.jp2")):
        content = file.read_bytes()
        digest = hashlib.new({"MD5": "md5", "SHA3-256": "sha3_256"}[name], content).hexdigest().upper()
        entries.append(
            f'<dataObject ID="x"><byteStream mimeType="application/octet-stream" size="{len(content)}"><fileLocation '
            f'locatorType="URL" href="./{file.relative_to(folder)}"/>'
            f'<checksum checksumName="{name}">{digest}</checksum>'
            "</byteStream></dataObject>"
        )
    text = f'<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">{"".join(entries)}</xfdu:XFDU>'
    (folder / "manifest.safe").write_text(text)


def flip(path: Path, at: int = -100) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["MD5", "SHA3-256"])
def test_a_bit_of_a_pixel(tmp_path, bands, name):
    folder = safe(tmp_path, bands)
    assert check_files(open_scene(folder)) == 0  # no manifest
    manifest(folder, name)
    assert check_files(open_scene(folder)) == 3
    path = next(folder.rglob("*_B05.jp2"))
    flip(path)
    with pytest.raises(InputError, match=r"_B05\.jp2 has the .*\n.*manifest\.safe says"):
        check_files(open_scene(folder))


def test_a_file_of_another_size_is_another_file(tmp_path, bands):
    """Cut-outs and new compressions keep the product's manifest."""
    folder = safe(tmp_path, bands)
    manifest(folder, "MD5")
    path = next(folder.rglob("*_B02.jp2"))
    write_band(path, bands["B02"] + np.uint16(1), 10)
    assert check_files(open_scene(folder)) in (2, 3)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_bit_of_a_zip(tmp_path, bands, method):
    folder = band_folder(tmp_path / "s", bands)
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    scene = open_scene(path)
    assert check_files(scene) == 3
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(next(n for n in archive.namelist() if "B05" in n))
    flip(path, info.header_offset + info.compress_size // 2 + 80)
    with pytest.raises(InputError, match="B05"):
        check_files(open_scene(path))


def test_new_content_at_an_old_place_is_another_scene(tmp_path, bands):
    archive, folder = eopf(tmp_path / "p.zarr.zip", bands), eopf(tmp_path / "p.zarr", bands)
    zipped = tmp_path / "s.zip"
    with zipfile.ZipFile(zipped, "w") as target:
        for file in band_folder(tmp_path / "s", bands).iterdir():
            target.write(file, file.name)
    chunk = next(p for p in (folder / "measurements/reflectance/r10m/b02").iterdir() if p.name[0].isdigit())
    for path, changed in ((archive, archive), (folder, chunk), (zipped, zipped)):
        before = open_scene(path).bands["B02"].reader.identity()
        assert before == open_scene(path).bands["B02"].reader.identity()
        os.utime(changed, ns=(1, 10**18))
        assert before != open_scene(path).bands["B02"].reader.identity()
