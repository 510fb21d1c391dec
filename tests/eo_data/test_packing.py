"""Packing: parallel is the same as serial, and a kill at any moment loses nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skytrigger.core.errors import InputError, SkytriggerError
from skytrigger.core.files import read_json
from skytrigger.eo import pack as packing
from skytrigger.eo import pool
from skytrigger.eo.pack import pack
from skytrigger.eo.store import open_store

# A slow packing process: two tiles a shard, a pause after each shard, in this process or in two workers.
SLOW = """
import subprocess, sys
from pathlib import Path
from skytrigger.eo import pack, pool
worker = '''
import sys, time
from pathlib import Path
from skytrigger.eo import shards
real = shards.pack_shard
def slow(*arguments):
    real(*arguments)
    time.sleep(0.15)
shards.pack_shard = slow
shards.worker(Path(sys.argv[1]))
'''
def start(folder):
    process = subprocess.Popen([sys.executable, "-c", worker, str(folder)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, bufsize=1)
    with open(Path(folder).parent / "pids", "a") as stream:
        stream.write(f"{process.pid}\\n")
    return process
pool._start = start
pack.SHARD_TILES = 2
pack.pack(sys.argv[1:2], sys.argv[2], workers=2)
"""


@pytest.fixture
def tiles(make: SimpleNamespace, tmp_path: Path) -> Path:
    """24 tiles: 12 shards of two."""
    return Path(make.write_folder(tmp_path / "tiles", make.small_set(per_class=12)))


@pytest.fixture
def two_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SHARD_TILES", 2)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.usefixtures("two_a_shard")
def test_workers_agree_with_one_process(cache: Path, tiles: Path, tmp_path: Path) -> None:
    one = pack([str(tiles)], tmp_path / "one", workers=1)
    two = pack([str(tiles)], tmp_path / "two", workers=2)
    assert one.content_hash == two.content_hash
    for name in ("x.npy", "y.npy", "ids.json", "lonlat.npy", "meta.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.usefixtures("two_a_shard")
def test_kill_and_resume(
    cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = pack([str(tiles)], tmp_path / "whole", workers=1)
    out = tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tiles), str(out)], stderr=subprocess.DEVNULL)
    records = tmp_path / "store.partial" / "shards"
    wait_for(lambda: len(list(records.glob("*.json"))) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workers = [int(line) for line in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in workers))  # no orphan goes on
    kept = {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 3 <= len(kept) < 12
    assert not out.exists()

    # one finished shard's rows are damaged meanwhile: it alone is made again
    with open(tmp_path / "store.partial" / "raw.npy", "r+b") as stream:
        stream.seek(-1 - (11 - int(min(kept).split(".")[0])) * 2 * 106_496, os.SEEK_END)
        stream.write(b"\xff")
    made = []
    real = pool.pack_shard
    monkeypatch.setattr(pool, "pack_shard", lambda *a: (made.append(a[3]), real(*a)))
    again = pack([str(tiles)], out, workers=1)
    assert len(made) == 12 - len(kept) + 1
    assert again.content_hash == expected.content_hash
    assert (out / "x.npy").read_bytes() == (tmp_path / "whole" / "x.npy").read_bytes()
    assert f"{len(kept) - 1} of 12 shards are done" in capfd.readouterr().err
    assert not (tmp_path / "store.partial").exists()


@pytest.mark.usefixtures("two_a_shard")
@pytest.mark.parametrize("moment", ["meta", "x", "store"])
def test_kill_at_the_end(
    cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Between the last writes and renames: what is found there is taken up, or made again."""
    expected = pack([str(tiles)], tmp_path / "whole", workers=1)

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    real = os.rename
    with monkeypatch.context() as patched:
        if moment == "meta":
            patched.setattr("skytrigger.eo.store.write_json", kill)
        elif moment == "x":
            patched.setattr(packing.os, "rename", kill)
        else:
            patched.setattr(packing.os, "rename", lambda a, b: kill() if Path(b).name == "store" else real(a, b))
        with pytest.raises(Killed):
            pack([str(tiles)], tmp_path / "store", workers=1)
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(pool, "pack_shard", kill)  # no shard is made again
    assert pack([str(tiles)], tmp_path / "store", workers=1).content_hash == expected.content_hash


@pytest.mark.usefixtures("two_a_shard")
def test_changed_tiles_start_over(
    make: SimpleNamespace, cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("skytrigger.eo.pack._finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            pack([str(tiles)], tmp_path / "store", workers=1)
    (tiles / "River" / "River_3.tif").write_bytes(make.tile(5000))
    found = pack([str(tiles)], tmp_path / "store", workers=1)
    assert found.content_hash == pack([str(tiles)], tmp_path / "fresh", workers=1).content_hash


@pytest.mark.usefixtures("two_a_shard")
def test_bad_tiles_keep_the_work(cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiles / "River" / "River_3.tif").write_bytes(b"no")
    with pytest.raises(InputError, match="1 bad tiles"):
        pack([str(tiles)], tmp_path / "store", workers=1)
    monkeypatch.setattr(pool, "pack_shard", lambda *_: pytest.fail("made again"))
    data = pack([str(tiles)], tmp_path / "store", workers=1, skip_bad=True)
    assert len(data) == 23
    assert open_store(tmp_path / "store", verify=True).source["skipped"] == [["tiles/River/River_3.tif", "not a TIFF"]]


@pytest.mark.usefixtures("two_a_shard")
def test_two_processes_pack_the_same(cache: Path, tiles: Path, tmp_path: Path) -> None:
    code = "import sys; from skytrigger.eo.load import load; print(load([sys.argv[1]], workers=1).content_hash)"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tiles)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
    assert len(list((cache / "tiles").glob("*"))) == 1  # the store; no lock is left


def test_full_disk(cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packing.os, "posix_fallocate", full)
    with pytest.raises(SkytriggerError, match=r"No space left on device(.|\n)*0.00 GB are needed"):
        pack([str(tiles)], tmp_path / "store", workers=1)
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "store.partial").exists()


@pytest.mark.usefixtures("two_a_shard")
def test_dead_worker_is_an_error_not_a_hang(
    cache: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit(9)"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with monkeypatch.context() as patched:
        patched.setattr(pool, "_start", start)
        with pytest.raises(SkytriggerError, match=r"a worker died at shard \d+ \(exit status 9\)"):
            pack([str(tiles)], tmp_path / "store", workers=2)
    assert len(pack([str(tiles)], tmp_path / "store", workers=2)) == 24


def test_existing_out_is_not_touched(cache: Path, tiles: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").write_text("x")
    with pytest.raises(InputError, match="exists"):
        pack([str(tiles)], tmp_path / "store")
    assert (tmp_path / "store" / "mine").read_text() == "x"


@pytest.mark.usefixtures("two_a_shard")
def test_changed_plan_is_not_believed(cache: Path, tiles: Path, tmp_path: Path) -> None:
    """A work folder that somebody prepared does not make packing read or write elsewhere."""
    partial = tmp_path / "store.partial"
    (partial / "shards").mkdir(parents=True)
    (partial / "plan.json").write_text(json.dumps({"key": "x", "sources": [["zip", "/etc/passwd"]]}))
    np.save(partial / "raw.npy", np.zeros((24, 13, 64, 64), np.uint16))
    data = pack([str(tiles)], tmp_path / "store", workers=1)
    assert data.x.max() > 0
    assert read_json(tmp_path / "store" / "meta.json")["shape"][0] == 24
