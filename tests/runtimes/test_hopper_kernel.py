"""The Hopper kernel, run on the CPU instruction by instruction (hopper_emulation.h), gives PyTorch's convolution."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from skytrigger.runtimes.hopper.shapes import SOURCE, Shape

GXX = shutil.which("g++")
pytestmark = pytest.mark.skipif(
    GXX is None or sys.platform != "linux", reason="needs g++ on Linux, which compiles the kernel for the CPU"
)
EMULATION = Path(__file__).with_name("hopper_emulation.h")
KINDS = {"float32": np.float32, "float16": np.float16, "uint16": np.uint16, "uint8": np.uint8}
Build = Callable[..., ctypes.CDLL]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("hopper")
    built: dict[tuple, ctypes.CDLL] = {}

    def get(shape: Shape, kind: str = "float32", *more: str) -> ctypes.CDLL:
        if (shape, kind, more) not in built:
            library = folder / f"{len(built)}.so"
            command = [
                GXX, "-x", "c++", "-std=c++17", "-O2", "-shared", "-fPIC", "-Wno-unknown-pragmas",
                *shape.defines(kind), *more, f'-DKERNEL="{SOURCE}"', str(EMULATION), "-o", str(library),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            loaded = ctypes.CDLL(str(library))
            loaded.emulate_convolution.restype = loaded.emulate_pack.restype = ctypes.c_char_p
            built[shape, kind, more] = loaded
        return built[shape, kind, more]

    return get


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def laid_out(images: np.ndarray, channels: int) -> np.ndarray:
    """(image, channel, row, column) -> [image][channel / 8][row][column][8], with zeros up to `channels`."""
    count, _, rows, columns = images.shape
    padded = np.zeros((count, channels, rows, columns), np.float16)
    padded[:, : images.shape[1]] = images
    return np.ascontiguousarray(padded.reshape(count, channels // 8, 8, rows, columns).transpose(0, 1, 3, 4, 2))


class Layer:
    """Random images and weights of a shape, and PyTorch's answer in float32."""

    def __init__(self, shape: Shape, count: int, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self.shape, self.count = shape, count
        channels = (shape.channels_out, shape.channels_in)
        self.images = random.normal(size=(count, channels[1], shape.height, shape.width)).astype(np.float16)
        self.weight = (random.normal(size=(*channels, 3, 3)) / (3 * channels[1] ** 0.5)).astype(np.float16)
        self.bias = random.normal(size=channels[0]).astype(np.float32)
        numbers = [torch.from_numpy(a.astype(np.float32)) for a in (self.images, self.weight, self.bias)]
        wanted = functional.relu(functional.conv2d(*numbers, padding=1))
        if shape.pool == "image":
            wanted = functional.max_pool2d(wanted, 2)
        elif shape.pool == "channels":  # over channels and rows
            wanted = functional.max_pool2d(wanted.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        self.wanted = wanted.numpy()
        assert self.wanted.shape[1:] == shape.output

    def run(self, library: ctypes.CDLL, grid_x: int, seed: int) -> tuple[str | None, np.ndarray]:
        """What went wrong, and (image, channel, row, column)."""
        shape = self.shape
        channels, rows, columns = shape.output
        out = np.full((self.count, channels // 8, rows, columns, 8), np.nan, np.float16)
        images, weights = laid_out(self.images, shape.padded_in), shape.arranged(self.weight)
        groups = shape.channels_out // shape.columns
        error = library.emulate_convolution(
            pointer(images), pointer(weights), pointer(self.bias), pointer(out),
            self.count, grid_x, groups, shape.shared_bytes, seed,
        )  # fmt: skip
        return error and error.decode(), out.transpose(0, 1, 4, 2, 3).reshape(self.wanted.shape)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Within float16's rounding of the output."""
    return np.allclose(found.astype(np.float32), wanted, rtol=1e-3, atol=1e-4)


# the layers of `basic` on 64 x 64 pixels with 13 bands, then other tiles, poolings and columns of a block
@pytest.mark.parametrize(
    ("shape", "count", "blocks", "columns"),
    [
        (Shape(13, 32, 64, 64), 1, 5, 32),
        (Shape(32, 32, 64, 64, "image"), 1, 1, 32),  # one block walks over all the tiles
        (Shape(32, 64, 32, 32), 2, 3, 64),
        (Shape(64, 64, 32, 32, "image"), 1, 2, 64),
        (Shape(64, 128, 16, 16), 3, 2, 64),
        (Shape(128, 128, 16, 16, "image"), 2, 1, 64),
        (Shape(64, 64, 16, 16, "channels"), 3, 2, 64),
        (Shape(20, 16, 8, 8), 7, 1, 16),  # four images a tile
        (Shape(32, 32, 8, 8, "image"), 5, 1, 32),
        (Shape(13, 48, 8, 16, "channels"), 3, 1, 16),  # two images a tile
        (Shape(48, 16, 16, 8, "image"), 3, 2, 16),
        (Shape(13, 16, 24, 40), 5, 4, 16),
        (Shape(256, 256, 8, 8), 5, 1, 32),
        (Shape(576, 16, 8, 8), 4, 1, 16),
        (Shape(512, 16, 8, 8), 3, 1, 16),
    ],
    ids=str,
)  # fmt: skip
def test_layer(build: Build, shape: Shape, count: int, blocks: int, columns: int) -> None:
    assert shape.columns == columns
    layer = Layer(shape, count)
    error, found = layer.run(build(shape), blocks, seed=count)
    assert error is None
    assert close(found, layer.wanted), np.abs(found - layer.wanted).max()


@pytest.mark.parametrize("seed", range(4))
def test_order_of_threads_and_grid_change_nothing(build: Build, seed: int) -> None:
    """More blocks than tiles among the grids: those only wait for their weights."""
    layer = Layer(Shape(32, 32, 8, 8, "image"), 9, seed)
    error, found = layer.run(build(layer.shape), (1, 2, 3, 5)[seed], seed)
    assert error is None
    assert close(found, layer.wanted)


def test_images_of_a_tile_do_not_mix(build: Build) -> None:
    """One of four images a tile is zero, the others are large: its answer is the bias's."""
    layer = Layer(Shape(20, 16, 8, 8), 7)
    layer.images[:] = 1000
    layer.images[2] = 0
    error, found = layer.run(build(layer.shape), 1, 1)
    assert error is None
    expected = np.maximum(layer.bias, 0).astype(np.float16)[:, None, None]
    np.testing.assert_array_equal(found[2], np.broadcast_to(expected, (16, 8, 8)))


# what the emulator then says; None: it has nothing to say, and the numbers are wrong
PLANTED = {
    "PLANT_NO_BARRIER": "a product reads byte .*(never written|not done|with no barrier)",
    "PLANT_COPIES_LATE": "a product reads byte .*copy is not done",
    "PLANT_PRODUCTS_LATE": "a product reads byte .*copy is not done",
    "PLANT_COPIES_SHIFTED": "a copy from outside of images and weights",
    "PLANT_OFFSETS_SWAPPED": "a product reads byte .*",
    "PLANT_THREAD_ENDS": "deadlock: 255 threads wait in __syncthreads, 0 in a shuffle, 1 have ended",
    "PLANT_NO_ZEROS": None,
    "PLANT_NO_SHUFFLE": None,
    "PLANT_SUMS_KEPT": None,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_errors_are_found(build: Build, planted: str) -> None:
    layer = Layer(Shape(32, 32, 8, 8, "image"), 21)  # more steps than buffers
    error, found = layer.run(build(layer.shape, "float32", f"-D{planted}"), 1, 1)
    expected = PLANTED[planted]
    if expected is None:
        assert error is None
        assert not close(found, layer.wanted)
    else:
        assert error is not None
        assert re.search(expected, error), error


@pytest.mark.parametrize("less", [16, 128 * 100])
def test_too_little_shared_memory_is_found(build: Build, monkeypatch: pytest.MonkeyPatch, less: int) -> None:
    layer = Layer(Shape(32, 32, 8, 8, "image"), 9)
    library = build(layer.shape)
    shared_bytes = layer.shape.shared_bytes - less
    monkeypatch.setattr(Shape, "shared_bytes", property(lambda _: shared_bytes))
    error, _ = layer.run(library, 1, 1)
    assert error is not None
    assert re.search(r"a copy at byte \d+ of \d+ of shared memory", error), error


@pytest.mark.parametrize("channels", [13, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_pack(build: Build, kind: str, channels: int) -> None:
    shape, count = Shape(20, 16, 8, 8), 3  # 32 channels: a group without any of the 13
    random = np.random.default_rng(channels)
    most = 256 if kind == "uint8" else 2000 if kind == "float16" else 65536
    tiles = random.uniform(0, most, (count, channels, 8, 8)).astype(KINDS[kind])
    mean = random.uniform(0, most, channels).astype(np.float32)
    scale = random.uniform(1, 4, channels).astype(np.float32) / np.float32(most)
    wanted = (tiles.astype(np.float32) - mean[:, None, None]) * scale[:, None, None]
    out = np.full((count, 4, 8, 8, 8), np.nan, np.float16)
    error = build(shape, kind).emulate_pack(
        pointer(tiles), pointer(mean), pointer(scale), pointer(out), channels, count, 2, channels
    )
    assert error is None
    np.testing.assert_array_equal(out, laid_out(wanted.astype(np.float16), shape.padded_in))


def test_emulated_float16_is_numpys(build: Build) -> None:
    """Every float16, the floats half-way between neighbours, their neighbours, and what float16 cannot hold."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    exact = halves[np.isfinite(halves)].astype(np.float32)
    between = (exact[:-1] + exact[1:]) / 2
    beyond = np.array([65519.99, 65520, 1e6, np.inf, 2.0**-25, 2.0**-26, 1e-45, 0.0], np.float32)
    around = np.concatenate([exact, between, beyond])
    values = np.concatenate([around, np.nextafter(around, np.float32(np.inf)), np.nextafter(around, np.float32(0))])
    values = np.concatenate([values, -values])
    found, back = np.empty(len(values), np.uint16), np.empty(len(values), np.float32)
    build(Shape(20, 16, 8, 8)).emulate_halves(
        pointer(values), pointer(found), pointer(back), ctypes.c_longlong(len(values))
    )
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    np.testing.assert_array_equal(found, wanted.view(np.uint16))
    np.testing.assert_array_equal(back, wanted.astype(np.float32))
