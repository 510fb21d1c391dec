"""Maps from packets: what arrived is on them, what did not is empty, and both are said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from onboard import replay_folder
from skytrigger.core.errors import InputError
from skytrigger.onboard.codecs import TIERS, decode
from skytrigger.onboard.ground import _placed, folder_of, reassemble
from skytrigger.onboard.packet_format import Frame, frame_of
from skytrigger.onboard.packets import Item, PacketWriter, read
from skytrigger.onboard.received import receive

pytest.importorskip("rasterio")


def rows(folder: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "tiles.parquet").to_pylist()


def test_the_map_shows_what_was_sent_and_nothing_else(folder):
    import rasterio

    summary = reassemble(folder)
    scene = replay_folder.frames()[0].scene
    sent = {(r["row"], r["col"]): r for r in rows(folder) if r["scene"] == scene and r["status"] == "sent"}
    with rasterio.open(folder / "ground" / scene / "landcover.tif") as opened:
        names = {int(k[6:]): v for k, v in opened.tags(1).items() if k.startswith("CLASS_")}
        classes, confidence, tier, number = opened.read()
        assert opened.descriptions == ("class", "confidence_percent", "tier", "pass")
        assert (opened.crs.to_string(), opened.transform.a, opened.transform.c) == ("EPSG:32631", 640.0, 399_960.0)
    for place in np.ndindex(classes.shape):
        if place not in sent:
            assert classes[place] == confidence[place] == tier[place] == number[place] == 255
            continue
        row = sent[place]
        spoken = {"SeaLake": "Sea, lake", "cloud": "Cloud"}.get(row["class_name"], row["class_name"])
        assert names[int(classes[place])] == spoken
        assert abs(int(confidence[place]) - 100 * row["confidence"]) <= 0.8
        assert TIERS[tier[place]] == row["tier"]
        assert number[place] == row["pass"]
    told = summary["scenes"][scene]
    assert told["cells_received"] == len(sent)
    assert told["share_received"] == len(sent) / 140
    assert summary["faults"] == {}


def test_other_tools_take_the_products(folder):
    from rio_cogeo.cogeo import cog_validate

    reassemble(folder)
    out = folder / "ground" / replay_folder.frames()[1].scene
    valid, errors, _ = cog_validate(out / "landcover.tif", strict=True)
    assert (valid, errors) == (True, [])
    pyogrio = pytest.importorskip("pyogrio")
    meta, _, shapes, fields = pyogrio.raw.read(out / "landcover.parquet") if _reads_parquet(pyogrio) else (None,) * 4
    if shapes is not None:
        assert len(shapes) == json.loads((out / "summary.json").read_text())["cells_received"]
        assert "tier" in list(meta["fields"])
        assert len(fields[0]) == len(shapes)


def _reads_parquet(pyogrio) -> bool:
    return "Parquet" in pyogrio.list_drivers()


def test_the_item_is_stac_and_says_how_much_is_there(folder):
    pystac = pytest.importorskip("pystac")
    from pystac.validation import validate_dict

    reassemble(folder)
    out = folder / "ground" / replay_folder.frames()[2].scene
    item = pystac.Item.from_file(str(out / "item.json"))
    summary = json.loads((out / "summary.json").read_text())
    assert item.properties["skytrigger:share_received"] == pytest.approx(summary["share_received"], abs=1e-6)
    assert f"{summary['cells_received']} of 140" in item.properties["description"]
    assert all((out / a.href).exists() for a in item.assets.values())
    core = item.to_dict() | {"stac_extensions": []}
    validate_dict(core, pystac.STACObjectType.ITEM, stac_version="1.1.0", extensions=[])


def test_after_each_pass_there_is_more(folder):
    known = [reassemble(folder, until=n)["tiles"] for n in range(6)]
    assert known == sorted(known)
    assert known[0] == 0
    assert known[-1] == reassemble(folder)["tiles"] == sum(r["status"] == "sent" for r in rows(folder))
    assert (folder / "ground" / "after_002" / "received.parquet").exists()


def test_pixels_come_back_as_they_were_sent(folder):
    import rasterio

    summary = reassemble(folder, until=1, pixels=True)
    assert summary["undecodable"] == []
    items = [i for i in read(folder / "packets" / "pass_001.bin")[0] if i.tier == "lossless"]
    assert items
    for item in items[:3]:
        scene, row, column = item.place()
        path = folder / "ground" / "after_001" / folder_of(scene) / "tiles" / f"{row:04d}_{column:04d}_lossless.tif"
        with rasterio.open(path) as opened:
            assert np.array_equal(opened.read(), decode(item.payload))
            assert opened.bounds.left == pytest.approx(399_960 + 640 * column)
            assert opened.bounds.top == pytest.approx(5_300_040 - 640 * row)


def test_gaps_are_said(folder):
    content = bytearray((folder / "packets" / "pass_001.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "packets" / "pass_001.bin").write_bytes(content)
    (folder / "packets" / "pass_002.bin").unlink()
    before = sum(r["status"] == "sent" for r in rows(folder))
    summary = reassemble(folder)
    assert summary["tiles"] < before
    assert summary["faults"]["damaged"] == 1
    assert any(f["pass"] == 2 and f["kind"] == "lost" for f in summary["fault_list"])
    note = " ".join(summary["scenes"][replay_folder.frames()[0].scene]["notes"])
    assert "have no data" in note
    assert "1 damaged" in note


def test_maps_of_a_replay_before_do_not_stay(folder):
    first = replay_folder.frames()[0].scene
    reassemble(folder)
    assert (folder / "ground" / first).exists()
    for number in (1, 4):
        (folder / "packets" / f"pass_{number:03d}.bin").unlink()
    assert first not in reassemble(folder)["scenes"]
    assert not (folder / "ground" / first).exists()


def test_a_pass_that_comes_again_changes_nothing(folder):
    once = receive(folder)
    shutil.copy(folder / "packets" / "pass_001.bin", folder / "packets" / "pass_007.bin")
    twice = receive(folder)
    assert twice.tiles == once.tiles
    assert {f.kind for n, f in twice.faults if n == 7} == {"repeated"}


def test_a_scene_without_a_place_is_not_put_anywhere(tmp_path):
    with PacketWriter(tmp_path / "packets" / "pass_000.bin") as writer:
        writer.add(Item("nowhere/1/2", "class", "River", 0.9, 3.0))
    summary = reassemble(tmp_path)
    assert summary["share_received"] is None
    assert "no map" in summary["scenes"]["nowhere"]["notes"][0]
    assert not (tmp_path / "ground" / "nowhere").exists()


def test_names_of_scenes_stay_inside_the_folder():
    names = ["a", "a/b", "../a", "a b", ".hidden", "a" * 300]
    folders = [folder_of(n) for n in names]
    assert len(set(folders)) == len(names)
    assert all("/" not in f and not f.startswith(".") and len(f) < 100 for f in folders)


def test_no_packets_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no folder packets"):
        reassemble(tmp_path)


FRAME = {"scene": "S", "crs": "EPSG:32633", "left": 5e5, "top": 5e6, "cell_m": 640.0, "rows": 20, "columns": 20}


@pytest.mark.parametrize(
    "wrong",
    [{"left": float("nan")}, {"top": float("inf")}, {"left": "x"}, {"left": 1e300}, {"cell_m": 1e-300}, {"cell_m": 0},
     {"rows": 20.5}, {"rows": True}, {"rows": -1}, {"rows": 65_535, "columns": 65_535}, {"crs": ""}, {"time": ["a"]},
     {"crs": "/etc/hostname"}, {"crs": "http://127.0.0.1/x"}, {"crs": "<VRTDataset/>"}, {"crs": "EPSG:1\n"}],
    ids=str,
)  # fmt: skip
def test_frames_that_cannot_be(wrong):
    """They come over the link: they must not decide what is allocated, nor what GDAL opens."""
    assert frame_of(FRAME) is not None
    assert frame_of(FRAME | wrong) is None


@pytest.mark.parametrize("crs", ["EPSG:99999", 'PROJCS["x'])
def test_a_place_that_nobody_knows(crs):
    assert _placed(Frame(**FRAME))
    assert not _placed(Frame(**FRAME | {"crs": crs}))
    assert not _placed(Frame(**FRAME | {"left": 9e7}))
