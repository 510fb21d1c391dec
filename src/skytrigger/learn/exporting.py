"""A trained run as a model file, with its parity proven on the way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.files import write_bytes
from skytrigger.core.seeds import generator
from skytrigger.learn.run_folder import Build, RunFolder
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.parity import parity, require_parity
from skytrigger.model.quantise import CALIBRATION_IMAGES, quantise, stratified
from skytrigger.runtimes.open import open_session

PARITY_IMAGES = 256


def export_run(
    run: str | Path,
    build: Build,
    out: str | Path,
    precision: str = "fp32",
    data: tuple[Dataset, Split] | None = None,
) -> dict[str, Any]:
    """Export a run folder and compare model file and network on the same images.

    Parameters
    ----------
    data
        The dataset and split of the run, channels as the model wants them. Parity is then proven on
        validation images; without it on random ones drawn from the card's mean and std. int8 needs
        it, for its ranges.

    Returns
    -------
    dict
        `export.parity.parity`'s figures, bytes, runtime, kind of images.

    Raises
    ------
    SkytriggerError
        The file's answers differ by more than its precision explains; nothing is left behind then.
    """
    torch = require("torch", why="export")
    network, card = RunFolder(Path(run)).load(build)
    tiles, kind = _parity_tiles(card, data)
    with torch.inference_mode():
        module = with_normalisation(network, card)
        reference = np.concatenate(
            [module(torch.from_numpy(t)).numpy() for t in np.array_split(tiles, -(-len(tiles) // 64))]
        )
    out = Path(out)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        if precision == "int8":
            if data is None:
                raise InputError("int8 needs calibration images", remedy="--data with the data of the run")
            dataset, split = data
            export_onnx(network, card, Path(folder) / "fp32.onnx")
            chosen = stratified(split.train, dataset.y, CALIBRATION_IMAGES, card.seed)
            quantise(Path(folder) / "fp32.onnx", draft, dataset.x[chosen], tuple(dataset.ids[i] for i in chosen))
        else:
            export_onnx(network, card, draft, precision)
        # float16 has no kernels in ONNX Runtime on a CPU: the framework runs the file's own graph instead
        runtime = "torch" if precision == "fp16" else "onnxruntime"
        session = open_session(draft, runtime, precision, batch_size=64)
        result = parity(reference, session.run(tiles))
        session.close()
        require_parity(result, precision)
        content = draft.read_bytes()
    write_bytes(out, content)
    return {
        "model": str(out),
        "precision": precision,
        "bytes": len(content),
        "runtime": runtime,
        "tiles": kind,
        **result,
    }


def _parity_tiles(card: ModelCard, data: tuple[Dataset, Split] | None) -> tuple[NDArray[np.float32], str]:
    if data is not None and len(data[1].val):
        dataset, split = data
        return dataset.x[np.sort(split.val[:PARITY_IMAGES])].astype(np.float32), "validation images"
    shape = (64, len(card.channels), *card.size)
    noise = generator(card.seed, "parity").standard_normal(shape, dtype=np.float32)
    mean = np.array(card.mean, np.float32)[:, None, None]
    std = np.array(card.std, np.float32)[:, None, None]
    return np.maximum(noise * std + mean, 0), "random images of the data's mean and std"
