r"""What a bare machine with a card and no network must be brought, in parts that travel with the checkout.

    python benchmarks/gpu_bring.py --bare --rgb eurosat_rgb_train.zip eurosat_rgb_val.zip --ms eurosat_ms_train.zip

That machine has Python 3.12, PyTorch, CuPy, nvcc and a Numba that may not accept its NumPy; networks are made there.
Whole files lie in ``build/bring/whole``: wheels, packages that scenes are read with (unpacked, xz), RGB archives, and
the 13-band tiles that train and validate (no others). They are cut by bytes into ``build/bring/part1``, ``part2`` ...,
each at most 64 MiB less the checkout; `brought` puts them together there (``gpu_plan.py --bring build/bring``).
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.files import read_json, write_json
from skytrigger.core.progress import say

LIMIT = 64 << 20
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LIST = "bring.json"
NUMPY = ["numpy==2.3.5"]  # one that Numba takes
SCENES = ["rasterio==1.4.4", "zarr==3.1.6", "numcodecs==0.16.6", "affine==3.0.1", "cligj==0.7.2", "donfig==0.8.1.post1",
          "google-crc32c==1.9.0"]  # fmt: skip
PACKAGES = "packages.tar.xz"


def wheels(wanted: list[str], out: Path) -> None:
    """Fetch wheels for Python 3.12 on x86-64, alone."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(out)]
    command += ["--python-version", "3.12", "--implementation", "cp"]
    if subprocess.run([*command, *(f"--platform={p}" for p in PLATFORMS), *wanted]).returncode:
        raise SystemExit(f"pip cannot fetch {', '.join(wanted)}")


def packages(wanted: list[str], out: Path) -> None:
    """The same wheels as a folder for the import path, packed with xz: a third smaller."""
    with tempfile.TemporaryDirectory() as folder:
        wheels(wanted, Path(folder))
        site = Path(folder) / "site"
        for wheel in sorted(Path(folder).glob("*.whl")):
            shutil.unpack_archive(wheel, site, "zip")
        with tarfile.open(out, "w:xz") as archive:
            archive.add(site, "site")


def bands(archives: list[Path], out: Path) -> None:
    """13-band tiles of the lists ``ms_train`` and ``ms_val``, packed."""
    import numpy as np

    from gpu_steps.card_tiles import listed, pack
    from skytrigger.eo.load import load

    dataset = load([str(a) for a in archives])
    stems, wanted = [name.rsplit("/", 1)[-1] for name in dataset.ids], listed("ms_train") | listed("ms_val")
    rows = [i for i, stem in enumerate(stems) if stem in wanted]
    pack(np.array(dataset.x[rows]), [stems[i] for i in rows], out)


def cut(files: Sequence[Path], out: Path, limit: int) -> list[Path]:
    """Folders ``part1`` ... of at most `limit` bytes with all of the files, in order, pieces where one does not fit.

    Each part has the list of all files: size, hash and where their pieces are to be found.
    """
    parts: list[Path] = []
    found: dict[str, dict[str, Any]] = {}
    room = 0
    for path in files:
        content = memoryview(path.read_bytes())
        pieces, place = [], 0
        while place < len(content) or not pieces:
            if room == 0:
                parts.append(out / f"part{len(parts) + 1}")
                parts[-1].mkdir(parents=True)
                room = limit
            piece = content[place : place + room]
            name = f"{path.name}.{len(pieces)}"
            (parts[-1] / name).write_bytes(piece)
            pieces.append(f"{parts[-1].name}/{name}")
            place, room = place + len(piece), room - len(piece)
        found[path.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pieces": pieces}
    for part in parts:
        write_json(part / LIST, found)
    return parts


def join(folder: Path, out: Path) -> list[str]:
    """Put the files of `cut` together in `out`; names of those that are not all there, or not of one making.

    Raises
    ------
    SystemExit
        No part at all.
    """
    lists = sorted(folder.rglob(LIST))
    if not lists:
        raise SystemExit(f"no {LIST} below {folder}: parts of gpu_bring.py")
    missing = []
    for name, facts in read_json(lists[0]).items():
        pieces = [lists[0].parents[1] / piece for piece in facts["pieces"]]
        if not all(piece.is_file() for piece in pieces):
            missing.append(name)
            continue
        content = b"".join(piece.read_bytes() for piece in pieces)
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            say(f"{name}: its pieces are not of one making")
            missing.append(name)
            continue
        (out / name).write_bytes(content)
    return missing


def brought(folder: Path, scratch: Path, numba: bool = True) -> tuple[Path, Path | None, Path | None]:
    """(Folder of whole files, of wheels that Numba needs, of packages) of the parts in `folder`, made in `scratch`.

    What is missing or broken is said and left out: the steps that need it fail by themselves. Wheels are taken where
    Numba does not load without them, and does with them; it is not tried where no step needs it.
    """
    whole, site, unpacked = (scratch / name for name in ("whole", "wheels", "packages"))
    for place in (whole, site, unpacked):
        place.mkdir()
    wanted = packed = False
    try:
        if missing := join(folder, whole):
            say(f"parts are missing of {', '.join(missing)}")
        if (whole / PACKAGES).is_file():
            with tarfile.open(whole / PACKAGES) as archive:
                archive.extractall(unpacked, filter="data")
            packed = True
        wheels_here = sorted(whole.glob("*.whl"))
        if numba and wheels_here and not numba_loads():
            for wheel in wheels_here:
                shutil.unpack_archive(wheel, site, "zip")
            wanted = numba_loads(site)
            say("Numba loads with the wheels alone" if wanted else "Numba loads neither with the wheels nor without")
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError, shutil.ReadError, SkytriggerError) as error:
        say(f"what was brought is not all there: {error}")
    return whole, site if wanted else None, unpacked / "site" if packed else None


def numba_loads(first: Path | None = None) -> bool:
    """Whether what Numba compiles kernels with loads here, with `first` in front of the import path."""
    path = os.pathsep.join([*([str(first)] if first else []), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run([sys.executable, "-c", "import numba.cuda.np.arrayobj"], capture_output=True, timeout=90,
                              env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def checkout_bytes() -> int:
    """Of the files that git keeps, which travel along."""
    root = Path(__file__).resolve().parents[1]
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True).stdout
    return sum((root / name).stat().st_size for name in names.split("\0") if (root / name).is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgb", nargs="*", type=Path, default=[], help="archives of RGB tiles")
    parser.add_argument("--ms", nargs="*", type=Path, default=[], help="archives of 13-band tiles")
    parser.add_argument("--wheels", nargs="*", default=[], help="requirements, e.g. numpy==2.3.5")
    parser.add_argument("--packages", nargs="*", default=[], help="requirements of scenes, e.g. rasterio==1.4.4")
    parser.add_argument("--bare", action="store_true", help="the wheels and packages that are usually missing there")
    parser.add_argument("--out", type=Path, default=Path("build/bring"))
    args = parser.parse_args()
    if args.bare:
        args.wheels, args.packages = args.wheels or NUMPY, args.packages or SCENES
    for archive in (*args.rgb, *args.ms):  # before anything is fetched or cleared away
        if not archive.is_file():
            parser.error(f"{archive} is no file")
    whole = args.out / "whole"
    for old in (whole, *args.out.glob("part*")):
        shutil.rmtree(old, ignore_errors=True)
    whole.mkdir(parents=True)
    if args.wheels:
        wheels(args.wheels, whole)
    files = sorted(whole.iterdir())
    if args.packages:
        packages(args.packages, whole / PACKAGES)
        files.append(whole / PACKAGES)
    for number, archive in enumerate(args.rgb, 1):
        files.append(whole / f"rgb_{number}.zip")
        shutil.copyfile(archive, files[-1])
    if args.ms:
        files.append(whole / "ms_1.lzma")
        bands(args.ms, files[-1])
    beside = checkout_bytes() + (1 << 20)
    for part in cut(files, args.out, LIMIT - beside):
        size = sum(p.stat().st_size for p in part.iterdir())
        told = ", ".join(p.name for p in sorted(part.iterdir()) if p.name != LIST)
        print(f"{size / 2**20:6.1f} MiB ({(size + beside) / 2**20:.1f} with the checkout)  {part}: {told}")


if __name__ == "__main__":
    main()
