"""Scenes over HTTP, from a local server with range requests; one that stumbles, one that breaks off for good."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scene.make_scenes import band_folder, multiband, pixels, stac_item
from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.eo.scene.classify import Options, classify_scene
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.stac_product import gdal_path


class Server:
    """Files of a folder; `trouble(path, start)` may say ``503`` or ``cut``."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[str, int, int]] = []
        self.trouble = lambda path, start: ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(False)

            def do_GET(self) -> None:
                self.answer(True)

            def answer(self, body: bool) -> None:
                path = folder / self.path.split("?")[0].lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                content = path.read_bytes()
                start, stop = 0, len(content)
                given = self.headers.get("Range")
                if given:
                    low, high = given.removeprefix("bytes=").split("-")
                    start, stop = int(low), min(int(high) + 1 if high else stop, stop)
                if body:
                    outer.requests.append((path.name, start, stop))
                trouble = outer.trouble(path.name, start) if body else ""
                if trouble == "503":
                    self.send_error(503)
                    return
                self.send_response(206 if given else 200)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(stop - start))
                if given:
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
                self.end_headers()
                if body:
                    self.wfile.write(content[start : start + (stop - start) // 2 if trouble == "cut" else stop])
                if trouble == "cut":
                    self.close_connection = True
                    self.connection.close()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "www").mkdir()
    monkeypatch.setitem(GDAL_OPTIONS, "GDAL_HTTP_RETRY_DELAY", 0.01)
    found = Server(tmp_path / "www")
    yield found
    found.close()


@pytest.fixture
def item(tmp_path, server):
    bands = pixels(396, 330)
    stac_item(tmp_path / "www", bands, offset=0.0)
    return f"{server.address}/item.json", bands


def test_item_over_http(item, server, tmp_path):
    url, bands = item
    scene = open_scene(url)
    assert scene.kind == "STAC item"
    for name, band in scene.bands.items():
        assert (band.dn() == bands[name]).all()
    assert any(start > 0 for name, start, _ in server.requests if name.endswith(".tif"))  # ranges, not whole files


def test_same_map_as_from_disk(item, tmp_path):
    url, _ = item
    options = Options(runtime="onnxruntime")
    far = classify_scene(url, "eurosat_ms", tmp_path / "far", options)
    near = classify_scene(tmp_path / "www" / "item.json", "eurosat_ms", tmp_path / "near", options)
    assert far["area_km2"] == near["area_km2"]


def test_local_item_with_remote_assets(tmp_path, server):
    path = stac_item(tmp_path / "www", pixels(132, 126), offset=0.0, href=f"{server.address}/")
    local = tmp_path / "local.json"
    local.write_text(path.read_text())
    assert set(open_scene(local).bands) == set(pixels(132, 126))


def test_one_remote_raster(tmp_path, server):
    bands = pixels(132, 126)
    multiband(tmp_path / "www" / "all.tif", bands)
    scene = open_scene(f"{server.address}/all.tif")
    assert (scene.bands["B02"].dn() == bands["B02"]).all()


def test_a_server_that_stumbles(item, server, tmp_path):
    url, _ = item
    failed: set = set()

    def trouble(name, start):
        if name.endswith(".tif") and (name, start) not in failed and len(failed) < 10:
            failed.add((name, start))
            return "503"
        return ""

    server.trouble = trouble
    summary = classify_scene(url, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))
    assert failed
    assert summary["tiles"] == 42


def test_a_connection_that_breaks_off(item, server, tmp_path):
    """One clear error that names the file, and no map."""
    url, _ = item
    scene = open_scene(url)
    server.trouble = lambda name, start: "cut" if name == "B08.tif" else ""
    with pytest.raises(SkytriggerError, match=r"B08"):
        classify_scene(scene, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))
    assert not (tmp_path / "o" / "summary.json").exists()


def test_missing_asset_and_item(tmp_path, server):
    stac_item(tmp_path / "www", pixels(66, 66))
    (tmp_path / "www" / "B05.tif").unlink()
    with pytest.raises(InputError, match="B05"):
        open_scene(f"{server.address}/item.json")
    with pytest.raises(InputError, match="404"):
        open_scene(f"{server.address}/none.json")
    with pytest.raises(InputError, match="cannot be read"):
        open_scene("http://127.0.0.1:9/item.json")


@pytest.fixture
def store(server, monkeypatch):
    """S3's reads are plain HTTP, so GDAL's own client is pointed at the server: BUCKET/KEY is a path there."""
    settings = {"AWS_S3_ENDPOINT": server.address.removeprefix("http://"), "AWS_HTTPS": "NO",
                "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES"}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return server


def test_item_in_s3(tmp_path, store):
    bands = pixels(396, 330)
    local = stac_item(tmp_path / "www" / "bucket" / "a", bands, offset=0.0, href="s3://bucket/a/")
    scene = open_scene(local)
    assert scene.bands["B02"].reader.path == "/vsis3/bucket/a/B02.tif"
    for name, band in scene.bands.items():
        assert (band.dn() == bands[name]).all()
    assert any(start > 0 for name, start, _ in store.requests if name.endswith(".tif"))
    multiband(tmp_path / "www" / "bucket" / "all.tif", bands)
    assert (open_scene("s3://bucket/all.tif").bands["B02"].dn() == bands["B02"]).all()
    with pytest.raises(InputError, match=r"s3://bucket/none\.tif cannot be opened"):
        open_scene("s3://bucket/none.tif")


def test_an_object_that_breaks_off(tmp_path, store):
    local = stac_item(tmp_path / "www" / "bucket", pixels(396, 330), offset=0.0, href="s3://bucket/")
    scene = open_scene(local)
    store.trouble = lambda name, start: "cut" if name == "B08.tif" else ""
    with pytest.raises(SkytriggerError, match=r"s3://bucket/B08\.tif"):
        classify_scene(scene, "eurosat_ms", tmp_path / "o", Options(runtime="onnxruntime"))


def test_jpeg_2000_over_http_is_looked_at_first(tmp_path, server):
    folder = band_folder(tmp_path / "www", pixels(132, 126), ".jp2")
    path = next(folder.glob("*_B02.jp2"))
    item = {"type": "Feature", "id": "x", "properties": {}, "assets": {
        n: {"href": f"{server.address}/{next(folder.glob(f'*_{n}.jp2')).name}"} for n in ("B02", "B03")}}  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert open_scene(tmp_path / "item.json").bands["B02"].dn().shape == (126, 132)
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\x51\x00\x29") + 22
    content[at] ^= 0x40  # tiles of over a billion pixels
    (folder / "damaged_B02.jp2").write_bytes(content)
    item["assets"]["B02"]["href"] = f"{server.address}/damaged_B02.jp2"
    (tmp_path / "item.json").write_text(json.dumps(item))
    with pytest.raises(InputError, match=r"damaged_B02\.jp2: byte \d+"):
        open_scene(tmp_path / "item.json")


@pytest.mark.parametrize(
    ("href", "base", "path"),
    [
        ("s3://bucket/a/B02.jp2", "/x/", "/vsis3/bucket/a/B02.jp2"),
        ("https://h/a/B02.tif", "/x/", "/vsicurl/https://h/a/B02.tif"),
        ("./B02.tif", "https://h/a/", "/vsicurl/https://h/a/B02.tif"),
        ("../c/B02.tif", "https://h/a/b/", "/vsicurl/https://h/a/c/B02.tif"),
        ("./B02.tif", "/x/", "/x/./B02.tif"),
        ("/y/B02.tif", "/x/", "/y/B02.tif"),
        ("file:///y/a%20b.tif", "/x/", "/y/a b.tif"),
    ],
)
def test_paths(href, base, path):
    assert gdal_path(href, base) == path


def test_folder_names_are_kept(tmp_path):
    assert open_scene(band_folder(tmp_path / "my scene", pixels(66, 66))).name == "my scene"
