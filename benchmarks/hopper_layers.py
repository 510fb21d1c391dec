"""Time of each step of `basic` on the runtime `hopper`, and of the whole in parts of several sizes.

    python benchmarks/hopper_layers.py basic_fp16.onnx

Kernels are timed by the wall clock, 20 calls in a row on random images; multiply-adds of the padded channels do not
count. The first part of ``results/gpu/layers.txt`` is its output.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from gpu_networks import timed
from skytrigger.model.file import read_model
from skytrigger.runtimes.hopper import session as hopper
from skytrigger.runtimes.open import open_session

BATCH, REPEATS = 8192, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    model = read_model(parser.parse_args().model)
    shape = (len(model.card.channels), *model.card.size)
    few = np.random.default_rng(0).integers(500, 3000, (64, *shape))
    tiles = np.resize(few, (BATCH, *shape)).astype(np.float32)
    for part in (256, 1024, 2048, 8192):
        hopper.PART = part
        session = open_session(model, "hopper", "fp16", BATCH, 1, 1, "cuda")
        session.run(tiles)
        seconds = timed(lambda s=session: s.enqueue(BATCH), REPEATS) / BATCH
        print(f"parts of {part}: {seconds * 1e6:.4f} us/image")
        if part == 2048:
            layers(session, part)
        session.close()


def layers(session: hopper.HopperSession, part: int) -> None:
    """Each kernel on `part` images."""
    stream = torch.cuda.current_stream().cuda_stream
    kernels = session._kernels
    first = kernels[0].shape
    sizes = [first.padded_in * first.height * first.width, *(int(np.prod(k.shape.output)) for k in kernels)]
    values = [torch.randn((part, size), device="cuda").half() for size in sizes]
    tiles = torch.randn((part, first.channels_in, first.height, first.width), device="cuda")
    places = tiles.data_ptr(), session._mean.data_ptr(), session._scale.data_ptr(), values[0].data_ptr()
    show("pack float32 tiles", timed(lambda: kernels[0].pack(*places, part, stream), REPEATS) / part)
    for kernel, (weight, bias), source, out in zip(kernels, session._weights, values, values[1:], strict=False):
        operations = (
            18 * kernel.shape.channels_in * kernel.shape.channels_out * kernel.shape.height * kernel.shape.width
        )
        pointers = source.data_ptr(), weight.data_ptr(), bias.data_ptr(), out.data_ptr()
        seconds = timed(lambda k=kernel, p=pointers: k.convolve(*p, part, stream), REPEATS) / part
        s = kernel.shape
        what = f"{s.channels_in} -> {s.channels_out} at {s.height} x {s.width}" + (", pooled" if s.pool else "")
        show(what, seconds, operations)
    features = torch.randn((BATCH, sizes[-1]), device="cuda").half()
    show("dense layers", timed(lambda: session._products(features), REPEATS) / BATCH)


def show(what: str, seconds: float, operations: int = 0) -> None:
    rate = f", {operations / seconds / 1e12:.0f} TFLOP/s" if operations else ""
    print(f"  {what}: {seconds * 1e6:.4f} us/image{rate}")


if __name__ == "__main__":
    main()
