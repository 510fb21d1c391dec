"""Products that were made to harm: refused in one line, before anything large is read or anything else is opened."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from scene.make_scenes import eopf, pixels, safe, stac_item
from skytrigger.core.errors import InputError
from skytrigger.eo.scene import tree, zarr_guard
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.stac_product import open_item
from skytrigger.eo.scene.tree import parse_xml

B02 = "measurements/reflectance/r10m/b02"
X = "measurements/reflectance/r10m/x"
LAUGH = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'


@pytest.fixture(scope="module")
def bands():
    found = pixels(126, 90, offset=-1000.0)
    return {n: found[n] for n in ("B01", "B02", "B05")}


def changed(path, array, **entries):
    """The same Zarr, version 2, with other metadata of an array."""
    file = path / array / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return path


class TestXml:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-7"])
    def test_document_types_in_any_encoding(self, encoding):
        declared = "" if encoding == "utf-16-be" else f'<?xml version="1.0" encoding="{encoding}"?>'
        with pytest.raises(InputError, match="document type"):
            parse_xml((declared + LAUGH).encode(encoding), "MTD.xml")

    @pytest.mark.parametrize("content", [b'<?xml version="1.0" encoding="klingon"?><a/>', b"<a>\0</a>", b"", b"\xff"])
    def test_what_is_no_xml(self, content):
        with pytest.raises(InputError, match="not valid XML"):
            parse_xml(content, "MTD.xml")

    def test_too_many_elements(self, monkeypatch):
        monkeypatch.setattr(tree, "ELEMENTS_LIMIT", 100)
        assert len(parse_xml(b"<a>" + b"<b/>" * 99 + b"</a>", "MTD.xml")) == 99
        with pytest.raises(InputError, match="over 100 elements"):
            parse_xml(b"<a>" + b"<b/>" * 100 + b"</a>", "MTD.xml")


class TestZarr:
    @pytest.mark.parametrize(
        "entries",
        [
            {"shape": [10**9, 10**9]},
            {"shape": [60_000, 60_000], "chunks": [60_000, 60_000]},
            {"chunks": [0, 0]},
            {"shape": [-5, 90]},
            {"chunks": ["a", 1]},
            {"compressor": {"id": "nosuch"}},
            {"filters": [{"id": "pickle", "protocol": 5}], "compressor": None},
        ],
        ids=lambda e: "-".join(e),
    )
    def test_arrays(self, tmp_path, bands, entries):
        with pytest.raises(InputError, match=r"p\.zarr"):
            open_scene(changed(eopf(tmp_path / "p.zarr", bands), B02, **entries))

    @pytest.mark.parametrize(
        "entries", [{"shape": [10**12]}, {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}, {"shape": [1]}]
    )
    def test_coordinates(self, tmp_path, bands, entries):
        with pytest.raises(InputError, match=r"p\.zarr"):
            open_scene(changed(eopf(tmp_path / "p.zarr", bands, transform=False), X, **entries))

    @pytest.mark.parametrize(
        "transform", [["a"] * 6, 5, [float("inf"), 0, 0, 0, float("-inf"), 0], [10, 0, None, 0, -10, 0]]
    )
    def test_transforms(self, tmp_path, bands, transform):
        path = eopf(tmp_path / "p.zarr", bands)
        file = path / B02 / ".zattrs"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"proj:transform": transform}))
        with pytest.raises(InputError):
            open_scene(path)

    def zipped(self, tmp_path, bands, **more):
        path = eopf(tmp_path / "p.zarr", bands)
        with zipfile.ZipFile(tmp_path / "q.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path.rglob("*")):
                name = file.relative_to(path).as_posix()
                if file.is_file() and name not in more:
                    archive.write(file, name)
            for name, content in more.items():
                archive.writestr(name, content)
        return tmp_path / "q.zarr.zip"

    def test_a_zip_that_unpacks_to_too_much(self, tmp_path, bands, monkeypatch):
        monkeypatch.setattr(zarr_guard, "METADATA_LIMIT", 10_000)
        monkeypatch.setattr(zarr_guard, "MEMBER_LIMIT", 100_000)
        assert set(open_scene(self.zipped(tmp_path, bands)).bands) == set(bands)
        for name, size in ((f"{B02}/.zattrs", 20_000), (f"{B02}/0.0", 200_000)):
            with pytest.raises(InputError, match=f"{size} bytes"):
                open_scene(self.zipped(tmp_path / name.replace("/", "_"), bands, **{name: b" " * size}))

    def test_a_zip_that_leaves_its_folder(self, tmp_path, bands):
        with pytest.raises(InputError, match="leaves the archive"):
            open_scene(self.zipped(tmp_path, bands, **{"../../evil": b"x"}))

    def test_a_zip_of_too_many_files(self, tmp_path, bands, monkeypatch):
        monkeypatch.setattr(zarr_guard, "FILES_LIMIT", 5)
        with pytest.raises(InputError, match="at most 5"):
            open_scene(self.zipped(tmp_path, bands))


def test_a_safe_zip_of_too_many_files(tmp_path, bands, monkeypatch):
    folder = safe(tmp_path, bands)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    monkeypatch.setattr(tree, "FILES_LIMIT", 3)
    with pytest.raises(InputError, match="over 3 files"):
        open_scene(tmp_path / "p.zip")


class TestItems:
    @pytest.mark.parametrize("key", ["eo:bands", "bands", "raster:bands"])
    @pytest.mark.parametrize("value", [5, "x", {"a": 1}, [1], [None], [[]], True])
    def test_lists_that_are_none(self, tmp_path, bands, key, value):
        path = stac_item(tmp_path, bands)
        item = json.loads(path.read_text())
        item["assets"]["B02"][key] = value
        path.write_text(json.dumps(item))
        with pytest.raises(InputError, match="list of objects"):
            open_scene(path)

    @pytest.mark.parametrize("href", ["/etc/hostname", "file:///etc/hostname", "/vsizip//tmp/a.zip/b.tif"])
    def test_an_item_from_elsewhere_names_no_file_of_this_machine(self, tmp_path, bands, href):
        item = json.loads(stac_item(tmp_path, bands).read_text())
        item["assets"] = {"B02": item["assets"]["B02"] | {"href": href}}
        with pytest.raises(InputError, match="of an item at"):
            open_item(item, "https://example.org/items/", 0)


def test_grids_are_somewhere(bands):
    from skytrigger.eo.scene.grid import Grid

    for left, pixel, width in ((np.inf, 10, 5), (0, np.nan, 5), (0, 0, 5), (0, 10, 0)):
        with pytest.raises(InputError, match="grid"):
            Grid("EPSG:32633", left, 0.0, pixel, width, 5)
