"""The stream against brute force: no tile lost, misplaced or blended, whatever the size, stride or interruption."""

from __future__ import annotations

import numpy as np
import pytest

from scene.conftest import Fingerprints, fingerprint
from scene.make_scenes import RESOLUTION, band_folder, pixels, safe
from scene.oracle import whole_band, window
from skytrigger.core.errors import SkytriggerError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene import native_rows
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.engine import InputCodes
from skytrigger.eo.scene.native_rows import blocks
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.planes import DATA_BANDS, MIN_SEEN
from skytrigger.eo.scene.results import Parts
from skytrigger.eo.scene.stream import classify_rows

BANDS = ("B02", "B01", "B8A", "B03", "B10")  # an order of the network's own; all three resolutions


def stream(scene, out, tile=32, stride=32, lanes=None, key="k"):
    lanes = lanes or Fingerprints()
    cells = Cells(scene.grid, tile, stride)
    rows, planes, times = classify_rows(scene, cells, BANDS, 8 * len(BANDS), lanes, Parts(out, key), lambda *a: None)
    return cells, rows, planes, times


def brute_force(scene, cells):
    """(rows, columns, ...) of what the stream should have seen: fingerprints, valid and seen shares."""
    grid = cells.grid
    bands = {
        n: whole_band(scene.bands[n].dn(), RESOLUTION[n] // 10, grid.height, grid.width, scene.bands[n].radiometry)
        for n in (*BANDS, "B03")
    }
    valid = np.all([bands[n] != 0 for n in DATA_BANDS if n in bands], axis=0)
    size, margin = cells.tile, (cells.tile - cells.stride) // 2
    prints = np.zeros((cells.rows, cells.columns, 8 * len(BANDS)))
    seen = np.zeros((cells.rows, cells.columns))
    count = np.zeros((cells.rows, cells.columns))
    for r in range(cells.rows):
        for c in range(cells.columns):
            top, left = r * cells.stride - margin, c * cells.stride - margin
            ok = window(valid, top, left, size)
            tile = np.stack([window(bands[n], top, left, size) for n in BANDS])
            for plane in tile:
                plane[~ok] = np.floor(plane[ok].mean() + 0.5) if ok.any() else 0
            prints[r, c] = fingerprint(tile[None])[0]
            cut = valid[max(top, 0) : top + size, max(left, 0) : left + size]
            seen[r, c], count[r, c] = cut.mean(), cut.sum()
    return prints, seen, count


@pytest.mark.parametrize(("width", "height"), [(330, 270), (192, 192), (66, 126), (30, 18), (127, 65)])
def test_every_tile_is_the_one_of_the_whole_bands(tmp_path, width, height):
    scene = open_scene(band_folder(tmp_path / "s", pixels(width, height)))
    cells, rows, _, _ = stream(scene, tmp_path / "o")
    prints, seen, count = brute_force(scene, cells)
    assert rows.logits.shape[:2] == (-(-height // 32), -(-width // 32))
    assert np.abs(rows.seen - seen).max() < 1e-6
    assert np.abs(rows.valid - count / 32**2).max() < 1e-6
    enough = seen >= MIN_SEEN
    assert enough.any()
    assert np.abs(rows.logits[enough] - prints[enough]).max() <= 1.0
    assert np.abs(rows.logits[enough] - prints[enough]).mean() < 0.01
    assert (rows.logits[~enough] == 0).all()


@pytest.mark.parametrize("stride", [16, 8])
def test_overlapping_tiles(tmp_path, stride):
    scene = open_scene(band_folder(tmp_path / "s", pixels(150, 114)))
    cells, rows, _, _ = stream(scene, tmp_path / "o", stride=stride)
    prints, seen, _ = brute_force(scene, cells)
    assert np.abs(rows.seen - seen).max() < 1e-6
    enough = seen >= MIN_SEEN
    assert np.abs(rows.logits[enough] - prints[enough]).max() <= 1.0


@pytest.mark.parametrize("rows", [(1, 1), (2, 4), (1, 8)])
def test_codes_are_those_of_the_numbers(tmp_path, rows):
    """A network that takes its own codes is given the codes of what it would be given otherwise, gaps and edges too."""
    scene = open_scene(band_folder(tmp_path / "s", pixels(330, 270)))
    random = np.random.default_rng(5)
    codes = InputCodes(
        random.uniform(0.005, 0.3, len(BANDS)).astype(np.float32),
        random.integers(0, 90, len(BANDS)).astype(np.float32),
        rows,
    )

    class Numbers(Fingerprints):
        input_type = "float32"

        def of(self, tiles):
            return super().of(codes.of(tiles))

    class Codes(Fingerprints):
        input_type = "uint8"

    Codes.codes = codes
    plain, short = Numbers(), Codes()
    expected = stream(scene, tmp_path / "a", tile=64, stride=64, lanes=plain)[1]
    found = stream(scene, tmp_path / "b", tile=64, stride=64, lanes=short)[1]
    assert plain.seen == short.seen > 0
    for name in ("logits", "valid", "seen", "cloud", "means", "spreads", "picture"):
        assert (getattr(found, name) == getattr(expected, name)).all(), name
    assert len(np.unique(found.logits)) > 50


def test_means_and_spreads_are_those_of_the_tiles(tmp_path):
    scene = open_scene(band_folder(tmp_path / "s", pixels(192, 192, hole=False)))
    tiles = []

    class Kept(Fingerprints):
        input_type = "float32"

        def of(self, given):
            tiles.append(given.copy())
            return super().of(given)

    _, rows, planes, _ = stream(scene, tmp_path / "o", tile=64, stride=64, lanes=Kept(1))
    seen = np.concatenate(tiles).astype(np.float64)
    n = len(BANDS)
    assert planes[:n] == BANDS
    assert np.allclose(rows.means.reshape(9, -1)[:, :n], seen.mean(axis=(2, 3)), rtol=1e-6)
    assert np.allclose(rows.spreads.reshape(9, -1)[:, :n], seen.std(axis=(2, 3)), rtol=1e-5, atol=1e-3)


def test_chunks_and_blocks_change_nothing(tmp_path, monkeypatch):
    """JPEG 2000 in blocks of 128, GeoTIFF in blocks of 64 and in strips, chunks of one row or of all: one result."""
    bands = pixels(396, 414)
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (32, 64))
    monkeypatch.setattr(native_rows, "_TASK_PIXELS", 1 << 12)
    scenes = [open_scene(safe(tmp_path, bands, offset=0.0)), open_scene(band_folder(tmp_path / "t", bands))]
    strips = {"tiled": False, "blockxsize": None, "blockysize": 5}
    scenes.append(open_scene(band_folder(tmp_path / "u", bands, profile=strips)))
    found = [stream(s, tmp_path / f"o{i}", lanes=Fingerprints(1 + i))[1] for i, s in enumerate(scenes)]
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (1 << 14, 1 << 15))
    found.append(stream(scenes[0], tmp_path / "whole")[1])
    for other in found[1:]:
        for name in ("logits", "valid", "seen", "means", "spreads", "picture"):
            assert (getattr(found[0], name) == getattr(other, name)).all(), name


def test_blocks_cover_each_pixel_once():
    for first, last, width, block in (
        (0, 100, 330, (16, 16)),
        (48, 100, 330, (16, 330)),
        (0, 7, 5, (1, 5)),
        (0, 1030, 1100, (512, 512)),
    ):
        seen = np.zeros((last, width), int)
        for (a, b), (c, d) in blocks(first, last, width, block):
            assert a % block[0] == 0
            assert c % block[1] == 0
            seen[a:b, c:d] += 1
        assert (seen[first:] == 1).all()
        assert (seen[:first] == 0).all()


def test_each_row_is_decoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    scene = open_scene(safe(tmp_path, pixels(396, 414)))
    seen = {n: np.zeros((b.grid.height, b.grid.width), int) for n, b in scene.bands.items()}
    for name, band in scene.bands.items():
        inner = band.reader.read_into

        def counted(rows, columns, out, inner=inner, name=name):
            seen[name][rows[0] : rows[1], columns[0] : columns[1]] += 1
            inner(rows, columns, out)

        monkeypatch.setattr(band.reader, "read_into", counted)
    stream(scene, tmp_path / "o")
    for name in BANDS:
        assert (seen[name] == 1).all(), name


def test_interrupted_and_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(native_rows, "CHUNK_ROWS", (64, 64))
    scene = open_scene(band_folder(tmp_path / "s", pixels(330, 510)))
    whole = Fingerprints()
    expected = stream(scene, tmp_path / "whole", lanes=whole)[1]

    class Stops(Fingerprints):
        def of(self, tiles):
            if self.seen > 60:
                raise KeyboardInterrupt
            return super().of(tiles)

    with pytest.raises(KeyboardInterrupt):
        stream(scene, tmp_path / "o", lanes=Stops(1))
    kept = sorted((tmp_path / "o" / ".parts").glob("*.npz"))
    assert kept
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # and one part was damaged
    after = Fingerprints()
    found = stream(scene, tmp_path / "o", lanes=after)[1]
    assert after.seen < whole.seen
    for name in ("logits", "valid", "means", "picture"):
        assert (getattr(found, name) == getattr(expected, name)).all()
    other = Fingerprints()
    stream(scene, tmp_path / "o", lanes=other, key="another run")
    assert other.seen == whole.seen  # another run's parts are not taken


def test_a_damaged_block_stops_with_its_file_named(tmp_path):
    folder = band_folder(tmp_path / "s", pixels())
    path = folder / "T33TWN_20240601T100559_B03.tif"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(SkytriggerError, match="B03"):
        stream(open_scene(folder), tmp_path / "o")


def test_network_order_is_by_name(tmp_path):
    scene = open_scene(band_folder(tmp_path / "s", pixels(64, 66, hole=False)))
    _, rows, planes, _ = stream(scene, tmp_path / "o", tile=64, stride=64)
    assert planes[: len(BANDS)] == BANDS
    assert set(planes) <= set(EUROSAT_ORDER)
    b10 = BANDS.index("B10")
    assert rows.means[0, 0, b10] < 60 < rows.means[0, 0, 0]
