"""Compile the kernels for a GPU and launch them on torch's streams, through NVIDIA's own Python bindings."""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from skytrigger.core.errors import SkytriggerError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.runtimes.hopper.shapes import THREADS, Shape
from skytrigger.runtimes.hopper.stem import Stem

ARCHITECTURE = "sm_90a"
NVRTC = "pip install nvidia-cuda-nvrtc"
PACK_BLOCKS = 8  # of a multiprocessor


class Module:
    """Machine code on a GPU."""

    def __init__(self, cubin: bytes, multiprocessors: int) -> None:
        self._driver = require("cuda.bindings.driver", why="runtime hopper")
        self._multiprocessors = multiprocessors
        self._module = self._check(self._driver.cuModuleLoadData(cubin))

    def _function(self, name: bytes, shared_bytes: int) -> Any:
        found = self._check(self._driver.cuModuleGetFunction(self._module, name))
        attribute = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._check(self._driver.cuFuncSetAttribute(found, attribute, shared_bytes))
        return found

    def _launch(
        self, function: Any, grid: tuple[int, int], shared: int, stream: int, pointers: tuple[int, ...],
        numbers: tuple[int, ...],
    ) -> None:  # fmt: skip
        values = (*pointers, *numbers)
        kinds = (ctypes.c_void_p,) * len(pointers) + (ctypes.c_int,) * len(numbers)
        self._check(self._driver.cuLaunchKernel(function, *grid, 1, THREADS, 1, 1, shared, stream, (values, kinds), 0))

    def _check(self, answer: tuple[Any, ...]) -> Any:
        return _checked(self._driver, answer)

    def close(self) -> None:
        """Unload."""
        self._check(self._driver.cuModuleUnload(self._module))


class StemKernel(Module):
    """The first two layers, from tiles as they are stored."""

    def __init__(self, stem: Stem, cubin: bytes, multiprocessors: int) -> None:
        super().__init__(cubin, multiprocessors)
        self.stem = stem
        self._stem = self._function(b"stem", stem.shared_bytes)

    def run(self, pointers: tuple[int, ...], count: int, stream: int) -> None:
        """Queue it; device addresses of tiles, means, scales, both layers' weights and biases, and of the output."""
        grid = self.stem.grid(count, self._multiprocessors)
        numbers = (self.stem.first.channels_in, count)
        self._launch(self._stem, grid, self.stem.shared_bytes, stream, pointers, numbers)


class Kernel(Module):
    """One shape's convolution, and the packing that goes before it if it is the first."""

    def __init__(self, shape: Shape, cubin: bytes, multiprocessors: int) -> None:
        super().__init__(cubin, multiprocessors)
        self.shape = shape
        self._convolution = self._function(b"convolution", shape.shared_bytes)
        self._pack = self._check(self._driver.cuModuleGetFunction(self._module, b"pack"))

    def convolve(self, images: int, weights: int, bias: int, out: int, count: int, stream: int) -> None:
        """Queue it; arguments are device addresses, and the number of images."""
        grid = self.shape.grid(count, self._multiprocessors)
        self._launch(self._convolution, grid, self.shape.shared_bytes, stream, (images, weights, bias, out), (count,))

    def pack(self, tiles: int, mean: int, scale: int, out: int, count: int, stream: int) -> None:
        """Queue standardising and laying out `count` tiles."""
        values = count * (self.shape.padded_in // 8) * self.shape.height * self.shape.width
        blocks = max(1, min(-(-values // THREADS), self._multiprocessors * PACK_BLOCKS))
        self._launch(self._pack, (blocks, 1), 0, stream, (tiles, mean, scale, out), (self.shape.channels_in, count))


def compile_all(shapes: list[tuple[Shape | Stem, str]]) -> list[bytes]:
    """Machine code of each (shape, dtype that it packs), side by side."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda s: compiled(*s), shapes))


@functools.cache
def compiled(shape: Shape | Stem, kind: str) -> bytes:
    """Machine code; needs no GPU."""
    nvrtc = require("cuda.bindings.nvrtc", why="runtime hopper")
    try:
        program = _checked(nvrtc, nvrtc.nvrtcCreateProgram(shape.source(), b"convolution.cu", 0, [], []))
    except RuntimeError as error:  # the bindings are there, the compiler is not
        raise UnavailableError(f"NVIDIA's compiler (NVRTC) does not load: {error}", remedy=NVRTC) from error
    options = [f"--gpu-architecture={ARCHITECTURE}", "--std=c++17", *shape.defines(kind)]
    answer = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    if int(answer[0]):
        log = b" " * _checked(nvrtc, nvrtc.nvrtcGetProgramLogSize(program))
        _checked(nvrtc, nvrtc.nvrtcGetProgramLog(program, log))
        raise SkytriggerError(f"the kernel of {shape} does not compile: {log.decode(errors='replace').strip()[:500]}")
    cubin: bytes = b" " * _checked(nvrtc, nvrtc.nvrtcGetCUBINSize(program))
    _checked(nvrtc, nvrtc.nvrtcGetCUBIN(program, cubin))
    _checked(nvrtc, nvrtc.nvrtcDestroyProgram(program))
    return cubin


def _checked(library: Any, answer: tuple[Any, ...]) -> Any:
    """The value of a call, or its error by name."""
    if int(answer[0]):
        raise SkytriggerError(f"CUDA: {getattr(answer[0], 'name', answer[0])}")
    return answer[1] if len(answer) == 2 else None
