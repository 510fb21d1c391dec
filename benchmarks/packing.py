"""What packing costs against a plain loop that only decodes, and what more processes bring.

    python benchmarks/packing.py [--data ZIP] [--rounds 3]

One round runs, in an order that changes from round to round: a loop over the archive's members with `zipfile` and
Pillow or tifffile, packing in one process, packing in as many as there are cores. Packing also checks every tile,
hashes it, finds duplicates and writes it to disk. Reported: ratios of wall time, each within its round.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np


def make_archive(path: Path, tiles: int) -> Path:
    """Generated 13-band tiles in an LZMA archive, as EuroSAT's sample is."""
    import tifffile

    from skytrigger.eo.synthetic import make

    data = make(tiles)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, tile in zip(data.ids, data.x, strict=True):
            stream = io.BytesIO()
            tifffile.imwrite(stream, tile.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig")
            archive.writestr(f"{name.rsplit('_', 1)[0]}/{name}.tif", stream.getvalue())
    return path


def plain_loop(path: Path) -> int:
    """Decode every member, keep nothing; the number of tiles."""
    import tifffile
    from PIL import Image

    count = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith((".tif", ".jpg")):
                content = io.BytesIO(archive.read(name))
                np.asarray(tifffile.imread(content) if name.endswith(".tif") else Image.open(content))
                count += 1
    return count


def main() -> None:
    """Run the rounds and print the ratios."""
    from skytrigger.core.host import cores_in_mask
    from skytrigger.eo.pack import pack

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a zip of tiles (default: 200 generated ones)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKYTRIGGER_CACHE"] = f"{folder}/cache"
        path = args.data or make_archive(Path(folder) / "tiles.zip", 200)
        seconds: dict[str, list[float]] = {"loop": [], "one": [], "all": []}
        tiles = plain_loop(path)  # warm: files and imports
        for number in range(args.rounds):
            order = list(seconds)[number % 3 :] + list(seconds)[: number % 3]
            for what in order:
                start = time.perf_counter()
                if what == "loop":
                    plain_loop(path)
                else:
                    workers = 1 if what == "one" else cores_in_mask()
                    pack([str(path)], Path(folder) / f"{what}{number}", workers=workers)
                seconds[what].append(time.perf_counter() - start)
        for name, above, below in (("packing / plain loop", "one", "loop"), ("one process / all cores", "one", "all")):
            ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
            print(f"{name}: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
        rate = tiles / statistics.median(seconds["all"])
        print(f"{tiles} tiles, {args.rounds} rounds, {cores_in_mask()} cores, {rate:,.0f} tiles/s")


if __name__ == "__main__":
    main()
