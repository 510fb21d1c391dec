r"""What a bare machine with a card and no network must be brought, in parts of at most 64 MiB.

    python benchmarks/gpu_bring.py --wheels numpy==2.3.5 --rgb eurosat_rgb_train.zip eurosat_rgb_val.zip \
        --ms eurosat_ms_train.zip

That machine has Python 3.12, PyTorch, CuPy, nvcc and a Numba that may not accept its NumPy; networks are made there.
Parts lie in ``build/bring/part1``, ``part2`` ...: wheels and the first RGB tiles, then the others. The last archive is
the one that validates. The 13-band tiles that train and validate (no others) have parts of their own behind these. With
``--beside`` room is left for what travels along (the checkout).
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


def bands(archives: list[Path], out: Path, first: int, limit: int) -> list[Path]:
    """13-band tiles of the lists ``ms_train`` and ``ms_val``, packed, in as many parts as they need."""
    import numpy as np

    from gpu_steps.card_tiles import listed, pack
    from skytrigger.eo.load import load

    dataset = load([str(a) for a in archives])
    stems, wanted = [name.rsplit("/", 1)[-1] for name in dataset.ids], listed("ms_train") | listed("ms_val")
    rows = [i for i, stem in enumerate(stems) if stem in wanted]
    for count in range(1, len(rows) + 1):
        parts = [out / f"part{first + k}" for k in range(count)]
        for part, some in zip(parts, np.array_split(np.array(rows), count), strict=True):
            part.mkdir(parents=True, exist_ok=True)
            pack(np.array(dataset.x[some]), [stems[i] for i in some], part / f"{part.name.replace('part', 'ms_')}.lzma")
        if max(map(size_of, parts)) <= limit:
            return parts
    raise SystemExit(f"a 13-band tile takes more than {limit} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgb", nargs="*", type=Path, default=[], help="archives of tiles, the validating one last")
    parser.add_argument("--ms", nargs="*", type=Path, default=[], help="archives of 13-band tiles")
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
    parts = [part for part in parts if part.is_dir()]
    if args.ms:
        parts += bands(args.ms, args.out, len(parts) + 1, LIMIT - args.beside)
    for part in parts:
        for path in sorted(part.rglob("*")):
            print(f"{path.stat().st_size / 2**20:8.2f} MiB  {path}")
        print(f"{size_of(part) / 2**20:8.2f} MiB  {part} ({(size_of(part) + args.beside) / 2**20:.1f} with the rest)")


if __name__ == "__main__":
    main()
