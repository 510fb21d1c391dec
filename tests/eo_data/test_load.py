"""From paths to a dataset: what is found, what is refused, and that the same tiles are the same data."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.eo.load import load


def store_of(data: Dataset) -> Path:
    assert isinstance(data.x, np.memmap)
    return Path(data.x.filename).parent


def test_contract(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    data = load([str(make.write_zip(tmp_path / "a.zip", make.small_set()))])
    assert data.ids == ("Forest_1", "Forest_2", "Forest_3", "River_1", "River_2", "River_3")
    assert data.classes == ("Forest", "River")
    assert data.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.channels == make.BANDS
    assert (data.x.dtype, data.x.shape, data.units) == (np.uint16, (6, 13, 64, 64), "DN")
    assert isinstance(data.x, np.memmap)
    np.testing.assert_array_equal(data.x[4], make.pixels(102).transpose(2, 0, 1))
    assert data.lonlat is not None
    assert data.lonlat[0].tolist() == pytest.approx([13.6, 49.6], abs=0.1)


def test_order_is_by_number_not_by_text(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    members = {f"River/River_{n}.jpg": make.jpeg(n) for n in (10, 9, 100, 1)}
    data = load([str(make.write_zip(tmp_path / "a.zip", members | {"Forest/Forest_2.jpg": make.jpeg(0)}))])
    assert data.ids == ("Forest_2", "River_1", "River_9", "River_10", "River_100")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_folder_zip_and_depth_make_no_difference(
    make: SimpleNamespace, cache: Path, tmp_path: Path, method: int
) -> None:
    members = make.small_set()
    folder = load([str(make.write_folder(tmp_path / "plain", members))])
    deep = make.write_zip(tmp_path / "a.zip", {f"x/y/{k}": v for k, v in reversed(members.items())}, method)
    assert load([str(deep)]).content_hash == folder.content_hash


def test_union_of_folder_zip_and_store(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    from skytrigger.eo.pack import pack

    members = make.small_set(per_class=4)
    names = sorted(members)
    whole = load([str(make.write_folder(tmp_path / "whole", members))])
    parts = [{name: members[name] for name in names[k::3]} for k in range(3)]
    one = make.write_folder(tmp_path / "one", parts[0])
    two = make.write_zip(tmp_path / "two.zip", parts[1])
    pack([str(make.write_folder(tmp_path / "three", parts[2]))], tmp_path / "store")
    for paths in ([one, two, tmp_path / "store"], [tmp_path / "store", one, two]):
        union = load([str(path) for path in paths])
        assert union.content_hash == whole.content_hash
        assert union.lonlat is not None
        np.testing.assert_array_equal(union.lonlat, whole.lonlat)


def test_class_folder_itself(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    make.write_folder(tmp_path / "a", make.small_set())
    assert load([str(tmp_path / "a" / "River")]).ids == ("River_1", "River_2", "River_3")


def test_bands_by_name(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set()))
    everything = load([path])
    rgb = load([path], bands="rgb")
    assert rgb.channels == ("B04", "B03", "B02")
    np.testing.assert_array_equal(rgb.x, everything.x[:, [3, 2, 1]])
    chosen = load([path], bands="b8a, B2")
    assert chosen.channels == ("B8A", "B02")
    assert chosen.x[0, 0, 0, 0] // 1000 == 12  # B8A is the thirteenth band of the file
    assert len({everything.content_hash, rgb.content_hash, chosen.content_hash}) == 3
    for wrong in ("B13", "B02,B02", "", "purple"):
        with pytest.raises(InputError):
            load([path], bands=wrong)


def test_described_bands_are_put_in_order(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    order = [make.BANDS.index(name) for name in (*make.BANDS[:8], "B8A", *make.BANDS[8:12])]
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{k}" role="description">{make.BANDS[band]}</Item>'
        for k, band in enumerate(order)
    )
    tags = [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
    members = make.small_set()
    members["River/River_2.tif"] = make.tiff(make.pixels(102)[..., order], extratags=tags)
    data = load([str(make.write_folder(tmp_path / "a", members))])
    np.testing.assert_array_equal(data.x[4], make.pixels(102).transpose(2, 0, 1))


def test_rgb_and_its_missing_bands(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set(make=make.jpeg)))
    data = load([path])
    assert (data.channels, data.units, data.x.dtype, data.lonlat) == (("B04", "B03", "B02"), "rgb8", np.uint8, None)
    with pytest.raises(InputError, match=r"B08 not in the data(.|\n)*B04, B03, B02"):
        load([path], bands="B02,B08")


def test_synthetic(cache: Path) -> None:
    first = load(["synthetic:20"])
    assert len(first) == 20
    assert first.source["kind"] == "synthetic"
    assert load(["synthetic:20"]).content_hash == first.content_hash
    assert load(["synthetic:20:1"]).content_hash != first.content_hash
    assert isinstance(load(["synthetic:20"]).x, np.memmap)
    assert load(["synthetic:20"], bands="rgb").channels == ("B04", "B03", "B02")
    for wrong in ("synthetic:", "synthetic:x", "synthetic:-1", "synthetic:0", "synthetic:1:2:3"):
        with pytest.raises(InputError):
            load([wrong])


def test_what_is_no_data(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    good = str(make.write_folder(tmp_path / "good", make.small_set()))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("hello")
    cases = {
        "no data given": [],
        "No such file": [str(tmp_path / "absent")],
        "no tiles in": [str(tmp_path / "empty")],
        "zip archive": [str(tmp_path / "text.zip")],
        "given twice": [good, good + "/../good"],
        "not mixed": [good, "synthetic"],
        "neither a folder nor a file": ["/dev/null"],
        "cannot read": ["nul\0byte"],
    }
    for message, paths in cases.items():
        with pytest.raises(InputError, match=message):
            load(paths)


def test_mixed_kinds(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    tiff = make.write_folder(tmp_path / "tiff", make.small_set())
    rgb = make.write_zip(tmp_path / "rgb.zip", make.small_set(make=make.jpeg))
    for skip_bad in (False, True):
        with pytest.raises(InputError, match=r"two kinds of tiles: 6 TIFF .* 6 picture"):
            load([str(tiff), str(rgb)], skip_bad=skip_bad)


def spoiled(make: SimpleNamespace) -> tuple[dict[str, bytes], dict[str, str]]:
    """Tiles of which each of the second kind of names is bad, for the reason given."""
    members = make.small_set(per_class=8)
    image = make.pixels(1).astype(np.float32)
    image[0, 0, 0] = np.nan
    members["River/River_1.tif"] = members["River/River_1.tif"][:50_000]
    members["River/River_2.tif"] = make.tiff(make.pixels(2, size=32))
    members["River/River_3.tif"] = make.tiff(image)
    members["River/River_4.tif"] = make.tiff(make.pixels(2, bands=4))
    members["River/River_5.tif"] = b"garbage"
    members["Forest/Forest_7.tif"] = members["Forest/Forest_6.tif"]
    members["River/Forest_3.tif"] = make.tile(77)
    members["x/Forest/Forest_4.tif"] = make.tile(78)
    reasons = {
        "River_1.tif": "truncated",
        "River_2.tif": "32x32 pixels where most tiles have 64x64",
        "River_3.tif": "1 NaN",
        "River_4.tif": "4 bands without names",
        "River_5.tif": "not a TIFF",
        "Forest_7.tif": "a duplicate: the same pixels as a/Forest/Forest_6.tif",
        "River/Forest_3.tif": "its name says 'Forest', its folder 'River'",
        "x/Forest/Forest_4.tif": "a duplicate: the same name as a/Forest/Forest_4.tif",
    }
    return members, reasons


def test_every_bad_tile_is_in_one_error(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    members, reasons = spoiled(make)
    path = str(make.write_folder(tmp_path / "a", members))
    with pytest.raises(InputError) as caught:
        load([path])
    message = str(caught.value)
    assert f"{len(reasons)} bad tiles" in message
    assert "--skip-bad" in message
    for name, reason in reasons.items():
        assert any(name in line and reason in line for line in message.splitlines()), (name, reason, message)


def test_skip_bad_leaves_out_and_lists(
    make: SimpleNamespace, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members, reasons = spoiled(make)
    path = str(make.write_folder(tmp_path / "a", members))
    with pytest.raises(InputError):
        load([path])
    data = load([path], skip_bad=True)
    assert len(data) == len(members) - len(reasons)
    assert len(data.source["skipped"]) == len(reasons)
    printed = capsys.readouterr().err
    assert all(name in printed for name in reasons)
    assert not {"River_1", "River_5", "Forest_7"} & set(data.ids)
    np.testing.assert_array_equal(data.x[data.ids.index("Forest_8")], make.pixels(8).transpose(2, 0, 1))
    np.testing.assert_array_equal(data.x[data.ids.index("River_8")], make.pixels(108).transpose(2, 0, 1))
    # what was packed without them is still refused where bad tiles are not to be left out
    with pytest.raises(InputError, match="8 bad tiles"):
        load([path])
    assert load([path], skip_bad=True).content_hash == data.content_hash


def test_many_bad_tiles_are_counted(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    members = make.small_set(per_class=3) | {f"River/River_{n}.tif": b"no" for n in range(100, 130)}
    with pytest.raises(InputError, match=r"30 bad tiles(.|\n)*and 10 more"):
        load([str(make.write_folder(tmp_path / "a", members))])


@pytest.mark.parametrize("skip_bad", [False, True])
def test_nothing_but_bad_tiles(make: SimpleNamespace, cache: Path, tmp_path: Path, skip_bad: bool) -> None:
    members = {f"River/River_{n}.tif": b"no" for n in range(40)}
    with pytest.raises(
        InputError, match=r"40 bad tiles:\n    every tile for one reason, such as a/River/River_0.tif: not"
    ):
        load([str(make.write_folder(tmp_path / "a", members))], skip_bad=skip_bad)


def test_other_files_are_ignored_and_counted(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    other = {
        "README.md": b"x",
        "River/notes.txt": b"x",
        "River/River_1.tif.aux.xml": b"x",
        "__MACOSX/River/._River_1.tif": b"x",
        "label_map.json": b"{}",
    }
    data = load([str(make.write_zip(tmp_path / "a.zip", make.small_set() | other))])
    assert len(data) == 6
    assert data.source["ignored_files"] == len(other)


def test_archive_members_that_must_not_be_read(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    members = make.small_set() | {"../River/River_8.tif": make.tile(8), "/River/River_9.tif": make.tile(9)}
    path = str(make.write_zip(tmp_path / "a.zip", members))
    with pytest.raises(InputError, match=r"2 bad tiles(.|\n)*leaves the archive") as caught:
        load([path])
    assert "its path is absolute" in str(caught.value)
    assert len(load([path], skip_bad=True)) == 6


def test_damaged_member_of_a_good_archive(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = make.write_zip(tmp_path / "a.zip", make.small_set(), zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"River_2.tif") + 20_000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"1 bad tiles:\n +a.zip/River/River_2.tif: its checksum"):
        load([str(path)])


def test_links_in_folders(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    members = make.small_set()
    outside = make.write_folder(tmp_path / "outside", {"secret.tif": make.tile(50)})
    root = make.write_folder(tmp_path / "a", members)
    (root / "Forest" / "Forest_8.tif").symlink_to(outside / "secret.tif")
    (root / "Forest" / "Forest_9.tif").symlink_to("/dev/zero")
    (root / "Forest" / "Forest_10.tif").symlink_to("nowhere")
    (root / "Pasture").symlink_to(outside, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "Forest" / "Forest_11.tif")
    with pytest.raises(InputError, match="6 bad tiles") as caught:
        load([str(root)])
    for reason in ("leaves the folder", "link to a folder", "not a regular file", "No such file"):
        assert reason in str(caught.value)
    assert len(load([str(root)], skip_bad=True)) == 6


def test_link_inside_the_folder_is_a_tile(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    root = make.write_folder(tmp_path / "a", make.small_set() | {"raw/one": make.tile(60)})
    (root / "River" / "River_60.tif").symlink_to("../raw/one")
    assert "River_60" in load([str(root)]).ids


def test_cache_is_keyed_by_content(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = make.write_zip(tmp_path / "a.zip", make.small_set())
    first = load([str(path)])
    shutil.copy(path, tmp_path / "b.zip")
    assert store_of(load([str(tmp_path / "b.zip")])) == store_of(first)
    make.write_zip(path, make.small_set() | {"River/River_9.tif": make.tile(9)})
    assert len(load([str(path)])) == 7
    assert len(list((cache / "tiles").glob("*[!k]"))) == 2  # no work folders are left


def test_refused_files_are_part_of_the_content(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    """A file that is refused by its name alone is not forgotten, nor remembered after it is gone."""
    root = make.write_folder(tmp_path / "a", make.small_set())
    assert len(load([str(root)])) == 6
    (root / "River" / "Forest_9.tif").write_bytes(make.tile(9))
    with pytest.raises(InputError, match="its name says 'Forest'"):
        load([str(root)])
    assert len(load([str(root)], skip_bad=True)) == 6
    (root / "River" / "Forest_9.tif").unlink()
    assert load([str(root)]).source["skipped"] == []


def test_changed_file_of_a_folder_is_noticed(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    root = make.write_folder(tmp_path / "a", make.small_set())
    before = load([str(root)])
    path = root / "River" / "River_1.tif"
    times = path.stat()
    path.write_bytes(make.tile(999))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
    assert load([str(root)]).content_hash != before.content_hash


def test_opening_again_reads_no_tile(
    make: SimpleNamespace, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set()))
    first = load([path])

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    for name in ("pack.run_shards", "hashes.sha256_file", "store.content_hash"):
        monkeypatch.setattr(f"skytrigger.eo.{name}", fail)
    assert load([path]).content_hash == first.content_hash


def test_cache_that_cannot_be_written(make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skytrigger.core.errors import SkytriggerError

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKYTRIGGER_CACHE", str(tmp_path / "file"))
    with pytest.raises(SkytriggerError, match="cannot write"):
        load([str(make.write_zip(tmp_path / "a.zip", make.small_set()))])
