"""A packed store that was damaged, or that lies, is refused before it is believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skytrigger.core.dataset import content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.files import sha256_json
from skytrigger.eo.load import load
from skytrigger.eo.pack import pack
from skytrigger.eo.store import open_store


@pytest.fixture
def store(make: SimpleNamespace, cache: Path, tmp_path: Path) -> Path:
    pack([str(make.write_folder(tmp_path / "tiles", make.small_set()))], tmp_path / "store")
    return tmp_path / "store"


def test_hash_is_of_the_contract(store: Path) -> None:
    data = open_store(store)
    whole = np.array(data.x)
    assert data.content_hash == content_hash(whole, data.y, data.ids, data.channels, data.classes)
    assert {path.name for path in store.iterdir()} == {"x.npy", "y.npy", "ids.json", "lonlat.npy", "meta.json"}


def test_moved_store_opens(store: Path, tmp_path: Path) -> None:
    before = open_store(store).content_hash
    shutil.move(store, tmp_path / "elsewhere")
    assert load([str(tmp_path / "elsewhere")]).content_hash == before


def change_meta(store: Path, seal: bool = False, **fields: Any) -> None:
    meta = json.loads((store / "meta.json").read_text())
    meta.update(fields)
    if seal:
        meta.pop("meta_hash")
        meta["meta_hash"] = sha256_json(meta)
    (store / "meta.json").write_text(json.dumps(meta))


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def lie_in_header(store: Path) -> None:
    """An array header that claims a terabyte, in meta.json too."""
    raw = (store / "x.npy").read_bytes()
    (store / "x.npy").write_bytes(raw.replace(b"(6, 13, 64, 64)", b"(99999999, 13, 64, 64)", 1)[: len(raw)])
    change_meta(store, seal=True, shape=[99999999, 13, 64, 64])


def pickled(store: Path) -> None:
    np.save(store / "y.npy", np.array([{}] * 6, dtype=object), allow_pickle=True)


DAMAGE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("x truncated", lambda s: (s / "x.npy").write_bytes((s / "x.npy").read_bytes()[:-100]), "x.npy cannot be opened"),
    ("x longer", lambda s: (s / "x.npy").write_bytes((s / "x.npy").read_bytes() + b"1"), "bytes, .* expected"),
    ("x empty", lambda s: (s / "x.npy").write_bytes(b""), "x.npy cannot be opened"),
    ("x gone", lambda s: (s / "x.npy").unlink(), "x.npy cannot be opened"),
    ("a pixel", lambda s: flip(s / "x.npy", 200_000), "x.npy is not what was packed"),
    ("another x", lambda s: np.save(s / "x.npy", np.zeros((6, 13, 64, 64), np.uint16)), "x.npy is not what was"),
    ("x of floats", lambda s: np.save(s / "x.npy", np.zeros((6, 13, 64, 64), np.float32)), "float32, expected"),
    ("header that lies", lie_in_header, "x.npy cannot be opened"),
    ("x an archive", lambda s: np.savez(open(s / "x.npy", "wb"), a=1), "x.npy holds no array"),  # noqa: SIM115
    ("y changed", lambda s: np.save(s / "y.npy", np.array([0, 0, 0, 1, 1, 0])), "is not what was packed"),
    ("y pickled", pickled, "y.npy cannot be opened"),
    ("ids changed", lambda s: flip(s / "ids.json", 6), "is not what was packed"),
    ("ids no list", lambda s: (s / "ids.json").write_text("{}"), "no list of names"),
    ("ids no json", lambda s: (s / "ids.json").write_text("["), "not valid JSON"),
    ("lonlat changed", lambda s: flip(s / "lonlat.npy", 140), "is not what was packed"),
    ("classes renamed", lambda s: change_meta(s, classes=["River", "Forest"]), "meta.json was changed"),
    (
        "classes renamed, sealed",
        lambda s: change_meta(s, seal=True, classes=["River", "Forest"]),
        "not what was packed",
    ),
    ("channels renamed, sealed", lambda s: change_meta(s, seal=True, channels=["a"] * 13), "not what was packed"),
    ("newer version", lambda s: change_meta(s, version=99), "a store of version 99"),
    ("wrong kinds", lambda s: change_meta(s, seal=True, shape="x"), "lacks a field"),
    ("object dtype", lambda s: change_meta(s, seal=True, dtype="object"), "lacks a field"),
    ("negative shape", lambda s: change_meta(s, seal=True, shape=[6, -13, 64, 64]), "lacks a field"),
    ("another format", lambda s: (s / "meta.json").write_text('{"a": 1}'), "is not a packed store"),
    ("meta no object", lambda s: (s / "meta.json").write_text("[1]"), "is not a packed store"),
]


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_damage_is_named(store: Path, damage: Callable[[Path], Any], message: str) -> None:
    load([str(store)])
    damage(store)
    with pytest.raises(InputError, match=message):
        load([str(store)])


def test_damage_in_the_cache_is_named(make: SimpleNamespace, cache: Path, tmp_path: Path) -> None:
    path = str(make.write_zip(tmp_path / "a.zip", make.small_set()))
    kept = Path(load([path]).x.filename).parent
    flip(kept / "x.npy", 300_000)
    with pytest.raises(InputError, match=r"x.npy is not what was packed(.|\n)*pack again"):
        load([path])
    shutil.rmtree(kept)
    assert len(load([path])) == 6


def test_label_outside_the_classes(store: Path) -> None:
    """A store sealed by its maker with labels that contradict its classes."""
    from skytrigger.eo.store import labels_hash

    data = open_store(store)
    y = np.full(6, 7, np.int64)
    np.save(store / "y.npy", y)
    lonlat = np.load(store / "lonlat.npy")
    change_meta(
        store,
        seal=True,
        labels_hash=labels_hash(y, data.ids, lonlat),
        content_hash=content_hash(np.array(data.x), y, data.ids, data.channels, data.classes),
    )
    with pytest.raises(InputError, match=r"labels 7\.\.7"):
        load([str(store)])
