"""The 2019 study's own figures: entries that are whole, and everything else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skytrigger.core.errors import InputError
from skytrigger.measure.origin import read_origin

GOOD = {"device": "a", "task": "b", "runtime": "c", "ms": 1.5}


def study(tmp_path: Path, entries: list[Any], source: str = '"us"') -> Path:
    def value(v: object) -> str:
        return f'"{v}"' if isinstance(v, str) else str(v).lower()

    def table(entry: Any) -> str:
        inside = ", ".join(f"{k} = {value(v)}" for k, v in entry.items()) if isinstance(entry, dict) else ""
        return f"{{{inside}}}" if inside else str(entry)

    path = tmp_path / "origin.toml"
    path.write_text(f"source = {source}\ntime = [{', '.join(map(table, entries))}]\n")
    return path


def test_figures_of_the_origin(tmp_path: Path) -> None:
    own = read_origin()
    assert own["time"]
    assert own == read_origin(Path(__file__).parents[2] / "results" / "origin.toml")
    assert read_origin(str(study(tmp_path, [GOOD, {**GOOD, "watts": 3, "ms_per_image": 0.5}])))["source"] == "us"


@pytest.mark.parametrize("key", ["device", "task", "runtime", "ms"])
def test_an_entry_of_the_origin_is_whole(tmp_path: Path, key: str) -> None:
    path = study(tmp_path, [GOOD, {k: v for k, v in GOOD.items() if k != key}])
    with pytest.raises(InputError, match=r"origin\.toml, entry 2"):
        read_origin(path)


@pytest.mark.parametrize("bad", [0, -1.0, "inf", "nan", "x"])
@pytest.mark.parametrize("figure", ["ms_per_image", "ms", "watts"])
def test_a_figure_of_the_origin_is_a_positive_number(tmp_path: Path, figure: str, bad: object) -> None:
    path = study(tmp_path, [{**GOOD, "ms": 2.0, figure: bad}])
    if bad in ("inf", "nan"):
        path.write_text(path.read_text().replace(f'"{bad}"', str(bad)))
    with pytest.raises(InputError, match=r"entry 1"):
        read_origin(path)


def test_what_is_no_list_of_figures(tmp_path: Path) -> None:
    for path in (study(tmp_path, [GOOD], "3"), study(tmp_path, ["1"]), tmp_path / "none.toml"):
        with pytest.raises(InputError, match=r"origin|none"):
            read_origin(path)
    path.write_text('source = "us"\ntime = 3\n')
    with pytest.raises(InputError, match=r"none\.toml"):
        read_origin(path)
