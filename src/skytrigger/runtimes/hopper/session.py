"""Float16 on Hopper GPUs: our own fused convolutions, torch's dense products, replayed as CUDA graphs."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise
from typing import Any

import numpy as np

from skytrigger.core.errors import UnavailableError
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.cuda_lanes import CudaSession, Forward
from skytrigger.runtimes.hopper.kernels import Kernel, StemKernel, compile_all
from skytrigger.runtimes.hopper.plan import plan_of
from skytrigger.runtimes.hopper.shapes import Shape
from skytrigger.runtimes.hopper.stem import Stem
from skytrigger.runtimes.offers import Offer, on_cuda
from skytrigger.runtimes.session import EngineFacts
from skytrigger.runtimes.spec import EngineSpec

CAPABILITY = (9, 0)
PART = 2048  # images that go through all layers before the next ones: bounds memory, and smaller parts were slower
WAYS = 1  # parts under way at once, on streams of their own that the captured graph forks into
STEM: tuple[int, int] | None = None  # blocks of a multiprocessor and squares at once, of the first two layers' kernel


class HopperSession(CudaSession):
    """Stacks of 3x3 convolutions with ReLU and pooling, then dense layers; what else a graph holds is refused."""

    graphs = True

    def __init__(self, model: ModelFile, spec: EngineSpec) -> None:
        if not spec.device.startswith("cuda"):
            raise UnavailableError(f"runtime hopper runs on GPUs only, not on {spec.device!r}", remedy="--device cuda")
        if len(heads := model.card.heads) > 1:
            names = ", ".join(head.name for head in heads)
            raise UnavailableError(
                f"runtime hopper runs networks of one head, this one has {names}", remedy="--runtime torch-compiled"
            )
        plan = plan_of(model)
        super().__init__(model, spec)
        torch, start = self._torch, time.perf_counter()
        if torch.cuda.get_device_capability(self._device) != CAPABILITY:
            name = torch.cuda.get_device_name(self._device)
            raise UnavailableError(f"runtime hopper needs a Hopper GPU, this is {name}", remedy="--runtime tensorrt")
        shapes = [c.shape for c in plan.convolutions]
        stem = Stem(shapes[0], shapes[1], *STEM) if STEM and len(shapes) > 1 else None
        stems = [stem] if stem and stem.fits else []
        wanted: list[Shape | Stem] = [*shapes, *stems]
        cubins = compile_all([(shape, spec.input_type) for shape in wanted])
        torch.zeros(1, device=self._device)  # a context that modules can be loaded into
        properties = torch.cuda.get_device_properties(self._device)
        with torch.cuda.device(self._device):
            count = properties.multi_processor_count
            self._kernels = [Kernel(s, cubin, count) for s, cubin in zip(shapes, cubins, strict=False)]
            self._stems = [StemKernel(s, cubins[-1], count) for s in stems]

        def placed(array: Any, kind: type = np.float16) -> Any:
            return torch.tensor(np.asarray(array, kind), device=self._device)

        self._mean, self._scale = placed(plan.mean, np.float32), placed(plan.scale, np.float32)
        self._weights = [(placed(c.shape.arranged(c.weight)), placed(c.bias, np.float32)) for c in plan.convolutions]
        self._dense = [(placed(d.weight), placed(d.bias), d.relu) for d in plan.dense]
        self._open_lanes(lambda number: self._forward())
        content = b"".join(cubins)
        self.engine = EngineFacts(
            version=torch.__version__,
            provider=f"{properties.name} (wgmma)",
            precision_run="fp16",
            engine_hash=hashlib.sha256(content).hexdigest(),
            engine_bytes=len(content),
            build_s=time.perf_counter() - start,
        )

    def _forward(self) -> Forward:
        """A lane's way from tiles to logits, with memory of its own between the layers."""
        torch, kernels, weights = self._torch, self._kernels, self._weights
        part = min(PART, self.spec.batch_size)
        first, last = kernels[0].shape, int(np.prod(kernels[-1].shape.output))
        stem, skipped = (self._stems[0], 2) if self._stems else (None, 0)
        sizes = [first.padded_in * first.height * first.width, *(int(np.prod(k.shape.output)) for k in kernels[:-1])]
        del sizes[:skipped]

        def room(images: int, size: int) -> Any:
            return torch.empty((images, size), dtype=torch.float16, device=self._device)

        ways = min(WAYS, -(-self.spec.batch_size // part))
        between = [[room(part, size) for size in sizes] for _ in range(ways)]
        features = room(self.spec.batch_size, last)
        tile_bytes = int(np.prod(self._shape)) * np.dtype(self.spec.input_type).itemsize
        norm = (self._mean.data_ptr(), self._scale.data_ptr())
        others = [torch.cuda.Stream(self._device) for _ in range(ways - 1)]

        def convolve(tiles: Any, way: int, start: int, count: int, stream: int) -> None:
            places = [b.data_ptr() for b in between[way]] + [features.data_ptr() + start * last * 2]
            given = (tiles.data_ptr() + start * tile_bytes, *norm)
            if stem is None:
                kernels[0].pack(*given, places[0], count, stream)
            else:
                both = (array.data_ptr() for pair in weights[:2] for array in pair)
                stem.run((*given, *both, places[0]), count, stream)
            left = zip(kernels[skipped:], weights[skipped:], pairwise(places), strict=True)
            for kernel, (weight, bias), (source, out) in left:
                kernel.convolve(source, weight.data_ptr(), bias.data_ptr(), out, count, stream)

        def forward(tiles: Any) -> Any:
            with torch.inference_mode():
                own = torch.cuda.current_stream(self._device)
                streams = [own, *others]
                for other in others:
                    other.wait_stream(own)
                for number, start in enumerate(range(0, len(tiles), part)):
                    way = number % ways
                    convolve(tiles, way, start, min(part, len(tiles) - start), streams[way].cuda_stream)
                for other in others:
                    own.wait_stream(other)
                return (self._products(features[: len(tiles)]),)

        return forward

    def _products(self, values: Any) -> Any:
        torch = self._torch
        for weight, bias, relu in self._dense:
            values = torch.nn.functional.linear(values, weight, bias)
            if relu:
                values = torch.relu_(values)
        return values.float()

    def close(self) -> None:
        """Free graphs, buffers and kernels."""
        super().close()
        with self._torch.cuda.device(self._device):
            for kernel in (*self._kernels, *self._stems):
                kernel.close()
        self._kernels, self._stems = [], []


def offer(name: str, isa: list[str]) -> list[Offer]:
    """The Hopper GPUs here."""
    import cuda.bindings.nvrtc  # noqa: F401

    return on_cuda(name, lambda capability: capability != CAPABILITY)
