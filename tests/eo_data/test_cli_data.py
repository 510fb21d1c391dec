"""`skytrigger data ...` and the data options, as a user meets them."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from skytrigger.cli.data_options import add_data_arguments, load_from
from skytrigger.cli.main import main
from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.eo.application import EUROSAT
from skytrigger.eo.contact_sheet import natural_colour, write_contact_sheet
from skytrigger.eo.statistics import channel_statistics


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["data", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_pack_and_info(make: SimpleNamespace, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set() | {"README.md": b"x"}))
    status, out, _ = run(capsys, "pack", path, "--out", str(tmp_path / "store"), "--json", "--workers", "1")
    packed = json.loads(out)
    assert status == 0
    assert packed["tiles"] == 6
    assert packed["ignored_files"] == 1
    status, out, _ = run(capsys, "info", str(tmp_path / "store"), "--out", str(tmp_path / "o"), "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["content_hash"] == packed["content_hash"]
    assert facts["classes"] == {"Forest": 3, "River": 3}
    assert [channel["name"] for channel in facts["channel_statistics"]] == list(make.BANDS)
    with Image.open(facts["contact_sheet"]) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size[0] > 600
    status, out, _ = run(capsys, "info", path, "--bands", "rgb", "--out", str(tmp_path / "o"))
    assert status == 0
    for word in ("Forest", "River", "B04", "contact sheet", "hash", "longitude"):
        assert word in out
    assert "assumed: 13 bands without names are taken in EuroSAT's order" in out
    assert "\n  B8A" not in out


def test_errors_are_one_message_and_status_2(
    make: SimpleNamespace, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = make.small_set() | {"River/River_4.tif": b"no"}
    path = str(make.write_folder(tmp_path / "a", members))
    status, out, err = run(capsys, "info", path, "--out", str(tmp_path))
    assert (status, out) == (2, "")
    assert "River_4.tif: not a TIFF" in err
    assert "Traceback" not in err
    assert run(capsys, "pack", path, "--out", str(tmp_path / "s"), "--workers", "0")[0] == 2
    status, out, err = run(capsys, "info", path, "--out", str(tmp_path), "--skip-bad")
    assert status == 0
    assert "left out: a/River/River_4.tif: not a TIFF" in out
    assert run(capsys, "info", str(tmp_path / "absent"))[0] == 2


def test_info_of_synthetic_says_so(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "info", "synthetic:20", "--out", str(tmp_path))
    assert status == 0
    assert "20 synthetic tiles of 10 classes" in out


@pytest.fixture
def archive_url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x.zip").write_bytes(b"12345" * 1000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x.zip"
        server.shutdown()


def test_fetch(archive_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(b"12345" * 1000).hexdigest()
    folder = str(tmp_path / "got")
    status, out, _ = run(
        capsys, "fetch", "eurosat-rgb", "--out", folder, "--url", archive_url, "--sha256", digest, "--json"
    )
    assert status == 0
    assert Path(json.loads(out)["path"]).read_bytes() == b"12345" * 1000
    # the official file has another size, and that is seen before it is downloaded
    status, _, err = run(capsys, "fetch", "eurosat", "--out", folder, "--url", archive_url)
    assert status == 2
    assert "has 5000 bytes, 2065402329 expected" in err
    status, _, err = run(capsys, "fetch", "eurosat", "--out", folder, "--url", archive_url, "--md5", "0" * 32)
    assert status == 1
    assert "expected; what arrived was deleted" in err
    assert run(capsys, "fetch", "eurosat", "--url", archive_url + "x", "--out", folder)[0] == 2


def parse(*arguments: str, **options: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser, **options)  # type: ignore[arg-type]
    return parser.parse_args(arguments)


def test_data_options(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set(per_class=10)))
    data, split = load_from(parse("--data", path, "--bands", "rgb", "--seed", "4"), EUROSAT)
    assert data.channels == ("B04", "B03", "B02")
    assert split.facts["seed"] == 4
    assert split.facts["counts"] == {"train": 16, "val": 2, "test": 2}
    assert load_from(parse("--data", path, "--split", "spatial"), EUROSAT)[1].facts["kind"] == "spatial"
    for name in ("Forest", "River"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name}_{n}.jpg\n" for n in range(1, 11)))
    lists = [str(tmp_path / "Forest.txt"), str(tmp_path / "River.txt")]
    data, split = load_from(parse("--data", path, "--split-lists", *lists), EUROSAT)
    assert {data.ids[k] for k in split.val} == {f"River_{n}" for n in range(1, 11)}
    with pytest.raises(InputError, match="1 lists of a split"):
        load_from(parse("--data", path, "--split-lists", lists[0]), EUROSAT)
    assert parse().data == ["synthetic"]
    assert not hasattr(parse(split=False, seed=False), "seed")


def small(x: np.ndarray, channels: tuple[str, ...], units: str = "DN") -> Dataset:
    y = np.zeros(len(x), np.int64)
    ids = tuple(f"River_{k}" for k in range(len(x)))
    return Dataset(x, y, ids, channels, ("River",), content_hash(x, y, ids, channels, ["River"]), units)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_statistics_against_numpy(dtype: type) -> None:
    random = np.random.default_rng(0)
    if dtype == np.float32:
        x = random.normal(0, 0.1, (300, 2, 8, 8)).astype(dtype)
    else:
        x = random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, (300, 2, 8, 8)).astype(dtype)
    x[:, 1] //= 7
    for k, found in enumerate(channel_statistics(small(x, ("B02", "B03")))):
        values = x[:, k].astype(np.float64)
        assert found.mean == pytest.approx(values.mean(), rel=1e-10, abs=1e-12)
        assert found.std == pytest.approx(values.std(), rel=1e-10)
        assert (found.min, found.max) == (values.min(), values.max())
        expected = np.percentile(values, [1, 50, 99], method="inverted_cdf")
        assert [found.p1, found.p50, found.p99] == expected.tolist()
    with pytest.raises(InputError, match="float64"):
        channel_statistics(small(x.astype(np.float64), ("B02", "B03")))


def test_natural_colour() -> None:
    tile = np.zeros((3, 2, 2), np.uint16)
    tile[0], tile[1], tile[2] = 2750, 1375, 9000
    picture, _ = natural_colour(tile, ("B02", "B03", "B04"), "DN")
    assert picture[0, 0].tolist() == [255, 127, 255]
    picture, _ = natural_colour(tile.astype(np.uint8), ("B04", "B03", "B02"), "rgb8")
    assert picture[0, 0].tolist() == [2750 % 256, 1375 % 256, 9000 % 256]
    picture, what = natural_colour(np.arange(100, dtype=np.uint16).reshape(1, 10, 10), ("B10",), "DN")
    assert what.startswith("B10")
    assert (picture[..., 0] == picture[..., 2]).all()
    assert picture.min() == 0
    assert picture.max() == 255


def test_contact_sheet_shows_the_tiles(tmp_path: Path) -> None:
    x = np.zeros((3, 3, 64, 64), np.uint8)
    x[:, 0] = 255  # red
    path = write_contact_sheet(small(x, ("B04", "B03", "B02"), "rgb8"), tmp_path / "sheet.png")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    red = (pixels == [255, 0, 0]).all(axis=1).mean()
    assert 0.05 < red < 0.3
