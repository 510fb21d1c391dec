"""Every layout and type of tiles that people have: made here, read by the product, and told in docs/formats.md.

``PYTHONPATH=tests python tests/eo_data/formats_page.py --write`` writes the page anew from what the commands say. Files
are made by `tile_files` and `odd_tiles`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from eo_data.odd_tiles import FOUR, ODD, json_shard
from eo_data.tile_files import (
    Build,
    alike,
    archived,
    each,
    holes,
    others,
    parted,
    picture,
    pngs,
    rgb16,
    shard,
    tifs,
    trailing,
)

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- tiles: made by tests/eo_data/formats_page.py -->", "<!-- end of tiles -->"
PRODUCT = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]


@dataclass(frozen=True)
class Row:
    """One line of the page: what somebody has, how it is made, the options after ``skytrigger data info DATA``.

    `expect` is in what comes of it: in the description, or in the error where `refused`.
    """

    what: str
    build: Build
    expect: str
    options: str = ""
    data: str = "DATA"
    refused: bool = False


ROWS = (
    Row("EuroSAT: 13 bands uint16, no descriptions", tifs(13), "assumed: 13 bands without names"),
    Row("13 bands, described in a product's order", tifs(13, PRODUCT), "13 x 32x32 uint16 DN"),
    Row("descriptions such as `B8A - reflectance`", tifs(13, [f"{n} - reflectance" for n in PRODUCT]), "B8A"),
    Row("common names: `blue`, `green`, `red`, `nir`", tifs(4, ["blue", "green", "red", "nir"]), "B02,B03,B04,B08"),
    Row("a description that names no band", tifs(4, ["B2", "B3", "B4", "NIR?x"]), "name no band: 4", refused=True),
    Row("bands called `Band 1`, `Band 2` ...", tifs(4, [f"Band {k}" for k in range(1, 5)]), "numbers", refused=True),
    Row("4, 10 or 12 bands without names", tifs(4), "4 bands without names", refused=True),
    Row("the same, names stated", tifs(4), "stated: bands B02,B03,B04,B08", "--band-names B02,B03,B04,B08"),
    Row("the same, one band left out", tifs(4), "3 x 32x32 uint16", "--band-names B02,B03,B04,-"),
    Row("SCL beside the bands", tifs(5, [*FOUR, "SCL"]), "SCL beside the bands", refused=True),
    Row("the same, told which", tifs(5, [*FOUR, "SCL"]), "B02,B03,B04,B08", "--bands B02,B03,B04,B08"),
    Row("float32 of which nobody said the scale", tifs(4, FOUR, dtype="float32"), "float32 float"),
    Row("float32 reflectance", tifs(4, FOUR, dtype="float32"), "float32 reflectance", "--scale 1"),
    Row("uint16, a count is 1e-4 of reflectance", tifs(4, FOUR), "uint16 DN", "--scale 1e-4"),
    Row("int16", tifs(4, FOUR, dtype="int16"), "int16 DN"),
    Row("8-bit TIFF of red, green, blue (UC Merced)", tifs(3, dtype="uint8"), "uint8 rgb8"),
    Row("float64", tifs(4, FOUR, dtype="float64"), "float64 values", refused=True),
    Row("one band without a name", tifs(1), "grey"),
    Row("tiles that are not square", tifs(4, FOUR, shape=(16, 48)), "4 x 16x48 uint16"),
    Row("deflate", tifs(4, FOUR, compress="deflate"), "uint16 DN"),
    Row("LZW (extra `geo`)", tifs(4, FOUR, compress="lzw"), "uint16 DN"),
    Row("ZSTD (extra `geo`)", tifs(4, FOUR, compress="zstd"), "uint16 DN"),
    Row("LERC (extra `geo`)", tifs(4, FOUR, compress="lerc", dtype="float32"), "float32 float"),
    Row("a no-data tag, a quarter of it empty", holes(0.25), "no data: 1,536 pixels of 6 tiles (value 0)"),
    Row("a no-data tag, three quarters empty", holes(0.75), "75 % of it is no-data", refused=True),
    Row("the same, allowed", holes(0.75), "no data: 4,608 pixels", "--max-no-data 0.8"),
    Row("PNG of 8 bits, names restarted in each folder", pngs(), "uint8 rgb8"),
    Row("PNG of 16 bits, grey", pngs("I;16"), "uint16 grey16"),
    Row("PNG of 16 bits a colour (extra `geo`)", each(rgb16, ending="png"), "uint16 rgb16"),
    Row("PNG with a palette", pngs("P"), "palette's colours are taken"),
    Row("PNG, grey throughout", pngs("L"), "uint8 grey8"),
    Row("PNG with an opaque alpha channel", pngs("RGBA"), "alpha channel that is opaque"),
    Row("JPEG, grey throughout", each(lambda p, s: picture(p, s, "L"), ending="jpg"), "uint8 grey8"),
    Row("JPEG with bytes after its end", trailing, "bytes after the end of the JPEG"),
    Row("lower-case names (`Forest/forest_1`)", each(picture, "{low}_{n}", ending="jpg"), "6 tiles of 2 classes"),
    Row("folders train, val and test", parted, "by folders: 6 train, 6 val, 6 test"),
    Row("a folder inside a zip", archived("zip"), "6 tiles of 2 classes", data="x.zip/EuroSAT"),
    Row("a tar", archived("tar"), "6 tiles of 2 classes", data="x.tar"),
    Row("a tar.gz", archived("tar.gz"), "6 tiles of 2 classes", data="x.tar.gz/EuroSAT"),
    Row("a WebDataset shard (`.png` and `.cls`)", shard, "6 tiles of 2 classes", data="shard-000000.tar"),
    Row(
        "a WebDataset shard (`.png` and `.json`)",
        lambda p: json_shard(p / "s.tar"),
        "6 tiles of 2 classes",
        data="s.tar",
    ),
    Row("class folders that differ in case only", alike("River", "river"), "differ in case only", refused=True),
    Row(
        "class folders that differ in Unicode form only",
        alike("For\u00eat", "Fore\u0302t"),
        "differ in Unicode form only",
        refused=True,
    ),
    Row("class folders inside years", alike("Forest/2018", "River/2018"), "which level is the class", refused=True),
    Row("no tiles", others, "2 .jp2 (such as", refused=True),
    *(Row(what, build, expect, refused=refused) for what, build, expect, refused in ODD),
)


def command(row: Row) -> str:
    """What a user types."""
    return " ".join(filter(None, ("skytrigger data info", row.data, row.options)))


def run(row: Row, root: Path) -> tuple[int, str]:
    """Exit status, and in words what the command said."""
    from skytrigger.cli.main import main

    where = root / "DATA" if row.data == "DATA" else root
    row.build(where)
    data = where if row.data == "DATA" else root / row.data
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        argv = ["data", "info", str(data), "--out", str(root / "sheet"), *row.options.split()]
        status = main([*argv, "--json"])
    if status:
        text = err.getvalue().split("skytrigger: error: ", 1)[-1].replace(f"{root}/", "")
        return status, "refused: " + " ".join(re.sub(r"\n  (?=expected|remedy)", "; ", text).split())
    facts = json.loads(out.getvalue())
    from skytrigger.cli.data import _doubts

    c, h, w = facts["shape"]
    told = f"{facts['tiles']} tiles of {len(facts['classes'])} classes, {c} x {h}x{w} {facts['dtype']} "
    bands = f" ({','.join(facts['channels'])})" if c < 13 else f" ({facts['channels'][0]} to {facts['channels'][-1]})"
    return status, "; ".join([told + facts["units"] + bands, *map(str.strip, _doubts(facts))])


def table(results: list[tuple[Row, str]]) -> str:
    """The part of the page between its marks."""
    lines = [BEGIN, "", "| what there is | what happens | command |", "| --- | --- | --- |"]
    for row, told in results:
        cells = (row.what, re.sub(r"([|<>])", r"\\\1", told), f"`{command(row)}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", END])


def shown(page: str) -> str:
    """The page's own table."""
    return page[page.index(BEGIN) : page.index(END) + len(END)]


def write() -> None:
    """Run every row and put the table into the page."""
    results = []
    for row in ROWS:
        with tempfile.TemporaryDirectory() as name:
            os.environ["SKYTRIGGER_CACHE"] = f"{name}/cache"
            results.append((row, run(row, Path(name))[1]))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(shown(page), table(results)), encoding="utf-8")


if __name__ == "__main__":
    usage = "usage: PYTHONPATH=tests python tests/eo_data/formats_page.py --write"
    sys.exit(usage if sys.argv[1:] != ["--write"] else write())
