r"""What a bare machine with a card and no network must be brought, in parts of at most 64 MiB.

    python benchmarks/gpu_bring.py --wheels numpy==2.3.5 --rgb eurosat_rgb_train.zip eurosat_rgb_val.zip

That machine has Python 3.12, PyTorch, CuPy, nvcc and a Numba that may not accept its NumPy; networks are made there.
Parts lie in ``build/bring/part1``, ``part2`` ...: wheels and the first RGB tiles, then the others. The last archive is
the one that validates. With ``--beside`` room is left for what travels along (the checkout).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path

from skytrigger.core.files import write_text

LIMIT = 64 << 20
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def wheels(wanted: list[str], out: Path) -> None:
    """Fetch wheels for Python 3.12 on x86-64, alone."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(out)]
    command += ["--python-version", "3.12", "--implementation", "cp"]
    subprocess.run([*command, *(f"--platform={p}" for p in PLATFORMS), *wanted], check=True)


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def deal(archives: list[Path], parts: list[Path], limit: int) -> None:
    """Tiles of the archives, as they are, into one archive a part, each part up to `limit` bytes."""
    tiles = [(a, info) for a in archives for info in zipfile.ZipFile(a).infolist() if not info.is_dir()]
    sources = {a: zipfile.ZipFile(a) for a in archives}
    place, room, out = 0, limit - size_of(parts[0]), None
    for archive, info in tiles:
        cost = info.compress_size + 2 * len(info.filename.encode()) + 128
        while out is None or cost > room:
            if out is not None:
                out.close()
                place, room = place + 1, limit
            if place >= len(parts):
                raise SystemExit(f"the tiles do not fit {len(parts)} parts of {limit} bytes; --parts {len(parts) + 1}")
            parts[place].mkdir(parents=True, exist_ok=True)
            out = zipfile.ZipFile(parts[place] / f"rgb_{place + 1}.zip", "w", zipfile.ZIP_STORED)
        room -= cost
        out.writestr(info.filename, sources[archive].read(info))
    if out is not None:
        out.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgb", nargs="*", type=Path, default=[], help="archives of tiles, the validating one last")
    parser.add_argument("--wheels", nargs="*", default=[], help="requirements, e.g. numpy==2.3.5")
    parser.add_argument("--out", type=Path, default=Path("build/bring"))
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--beside", type=int, default=26 << 20, help="bytes that travel along with each part")
    args = parser.parse_args()
    parts = [args.out / f"part{i + 1}" for i in range(args.parts)]
    parts[0].mkdir(parents=True, exist_ok=True)
    if args.wheels:
        wheels(args.wheels, parts[0])
    if args.rgb:
        names = [Path(n).stem for n in zipfile.ZipFile(args.rgb[-1]).namelist() if not n.endswith("/")]
        write_text(parts[0] / "rgb_val.txt", "\n".join(names) + "\n")
        deal(args.rgb, parts, LIMIT - args.beside)
    for part in parts:
        for path in sorted(part.rglob("*")) if part.is_dir() else []:
            print(f"{path.stat().st_size / 2**20:8.2f} MiB  {path}")
        print(f"{size_of(part) / 2**20:8.2f} MiB  {part} ({(size_of(part) + args.beside) / 2**20:.1f} with the rest)")


if __name__ == "__main__":
    main()
