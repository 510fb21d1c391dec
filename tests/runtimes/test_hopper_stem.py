"""The kernel of the first two layers, emulated as the others are, gives PyTorch's two convolutions."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from skytrigger.core.errors import UnavailableError
from skytrigger.runtimes.hopper.kernels import compiled
from skytrigger.runtimes.hopper.shapes import SOURCE, Shape
from skytrigger.runtimes.hopper.stem import SOURCE as STEM
from skytrigger.runtimes.hopper.stem import Stem

GXX = shutil.which("g++")
pytestmark = pytest.mark.skipif(
    GXX is None or sys.platform != "linux", reason="needs g++ on Linux, which compiles the kernel for the CPU"
)
KINDS = {"float32": np.float32, "uint16": np.uint16, "float16": np.float16, "uint8": np.uint8}


def built(folder: Path, stem: Stem, kind: str, *more: str) -> ctypes.CDLL:
    emulation, library = Path(__file__).with_name("hopper_emulation.h"), folder / "stem.so"
    command = [
        str(GXX), "-x", "c++", "-std=c++17", "-O2", "-shared", "-fPIC", "-Wno-unknown-pragmas", *stem.defines(kind),
        *more, f'-DKERNEL="{SOURCE}"', f'-DSTEM="{STEM}"', str(emulation), "-o", str(library),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    loaded.emulate_stem.restype = ctypes.c_char_p
    return loaded


def run(library: ctypes.CDLL, stem: Stem, kind: str, count: int, blocks: int, seed: int):
    """(what went wrong, found, wanted)."""
    random = np.random.default_rng(seed)
    a, b = stem.first, stem.second
    high = 255 if kind == "uint8" else 3000
    tiles = random.integers(0, high, (count, a.channels_in, a.height, a.width)).astype(KINDS[kind])
    mean = random.uniform(0.3 * high, 0.6 * high, a.channels_in).astype(np.float32)
    scale = (1 / random.uniform(0.2 * high, 0.4 * high, a.channels_in)).astype(np.float32)
    weights = [(random.normal(size=(s.channels_out, s.channels_in, 3, 3)) / (3 * s.channels_in**0.5)).astype(np.float16)
               for s in (a, b)]  # fmt: skip
    biases = [random.normal(size=s.channels_out).astype(np.float32) for s in (a, b)]
    values = torch.from_numpy((tiles.astype(np.float32) - mean[:, None, None]) * scale[:, None, None])
    for weight, bias in zip(weights, biases, strict=True):
        values = values.half().float()  # what the kernels hold between layers
        values = functional.relu(
            functional.conv2d(values, torch.from_numpy(weight.astype(np.float32)), torch.from_numpy(bias), padding=1)
        )
    wanted = (functional.max_pool2d(values, 2) if b.pool else values).numpy()
    channels, rows, columns = b.output
    out = np.full((count, channels // 8, rows, columns, 8), np.nan, np.float16)
    arranged = [s.arranged(w) for s, w in zip((a, b), weights, strict=True)]
    arrays = (tiles, mean, scale, arranged[0], biases[0], arranged[1], biases[1], out)
    error = library.emulate_stem(*(ctypes.c_void_p(v.ctypes.data) for v in arrays), a.channels_in, count, blocks,
                                 stem.shared_bytes, seed)  # fmt: skip
    return error and error.decode(), out.transpose(0, 1, 4, 2, 3).reshape(wanted.shape).astype(np.float32), wanted


@pytest.mark.parametrize(("channels", "kind", "pool", "size", "count", "blocks"), [
    (13, "float32", "image", 64, 1, 5), (13, "uint16", "image", 32, 2, 1), (16, "float16", None, 32, 1, 3),
    (3, "uint8", "image", 32, 1, 2),
])  # fmt: skip
def test_two_layers(tmp_path: Path, channels: int, kind: str, pool: str, size: int, count: int, blocks: int) -> None:
    stem = Stem(Shape(channels, 32, size, size), Shape(32, 32, size, size, pool), squares=1 if count == 1 else 3)
    assert stem.fits
    error, found, wanted = run(built(tmp_path, stem, kind), stem, kind, count, blocks, 1)
    assert error is None
    assert np.allclose(found, wanted, rtol=4e-3, atol=4e-3), np.abs(found - wanted).max()


@pytest.mark.parametrize("plant", ["NO_FENCE", "NO_BARRIER", "PRODUCTS_LATE", "SUMS_KEPT"])
def test_planted_errors_are_found(tmp_path: Path, plant: str) -> None:
    stem = Stem(Shape(13, 32, 32, 32), Shape(32, 32, 32, 32, "image"))
    error, found, wanted = run(built(tmp_path, stem, "float32", f"-DPLANT_{plant}"), stem, "float32", 1, 1, 2)
    assert error or not np.allclose(found, wanted, rtol=4e-3, atol=4e-3)


@pytest.mark.parametrize(("blocks", "squares"), [(2, 3), (3, 1)])
def test_the_card_s_own_compiler_takes_it(blocks: int, squares: int) -> None:
    """Where it is installed; no GPU is needed."""
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        pytest.skip("NVIDIA's bindings are not installed")
    stem = Stem(Shape(13, 32, 64, 64), Shape(32, 32, 64, 64, "image"), blocks, squares)
    assert stem.fits
    try:
        code = compiled(stem, "float32")
    except UnavailableError as error:
        pytest.skip(str(error))
    assert b".text.stem" in code
