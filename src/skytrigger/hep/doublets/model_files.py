"""Trained filters as model files in every precision."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.hep.doublets.networks import build
from skytrigger.hep.doublets.split import split_doublets
from skytrigger.learn.evaluate import align
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.file import read_model
from skytrigger.model.parity import parity, require_parity
from skytrigger.model.quantise import CALIBRATION_IMAGES, quantise, stratified
from skytrigger.runtimes.open import open_session

if TYPE_CHECKING:
    from torch import nn

PARITY_IMAGES = 512


def export_filter(
    run: str | Path, out: str | Path, dataset: Dataset, precision: str = "fp32", notes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write a run folder's network as a model file, its answers compared with the network's.

    `dataset` gives the images of the comparison and, from the training part, INT8's calibration.
    `doublets_small` undoes its standardisation, so its file has none. INT8 covers its dense layers;
    the shape features in front of them need float32's range.

    Returns
    -------
    dict
        `export.parity.parity`'s figures and ``bytes``.
    """
    torch = require("torch", why="export")
    network, card = _without_standardisation(*RunFolder(Path(run)).load(build))
    card = replace(card, notes={**card.notes, **(notes or {})})
    dataset = align(dataset, card)
    tiles = dataset.x[:PARITY_IMAGES].astype(np.float32)
    with torch.inference_mode():
        reference = with_normalisation(network, card)(torch.from_numpy(tiles)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "fp32.onnx"
        export_onnx(network, card, draft, "fp16" if precision == "fp16" else "fp32")
        if precision == "int8":
            draft = _quantised(draft, dataset, card)
        # ONNX Runtime has no float16 kernels on a CPU: the framework runs the file's own graph instead
        session = open_session(draft, "torch" if precision == "fp16" else "onnxruntime", precision, 64)
        result = parity(reference, session.run(tiles))
        session.close()
        require_parity(result, precision)
        content = draft.read_bytes()
    from skytrigger.core.files import write_bytes

    write_bytes(out, content)
    return {"bytes": len(content), **result}


def _without_standardisation(network: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """The same `doublets_small` for charges as they are; other networks unchanged."""
    if card.name != "doublets_small":
        return network, card
    options = {name: value for name, value in card.options.items() if name not in ("mean", "std")}
    direct = build(card.name, len(card.channels), card.size, len(card.classes), **options)
    direct.load_state_dict(network.state_dict())
    pads = len(card.channels)
    return direct.eval(), replace(card, mean=(0.0,) * pads, std=(1.0,) * pads, options=options)


def _quantised(fp32: Path, dataset: Dataset, card: ModelCard) -> Path:
    split = split_doublets(dataset, int(card.split.get("seed", card.seed)))
    chosen = stratified(split.train, dataset.y, CALIBRATION_IMAGES, card.seed)
    exclude: tuple[str, ...] = ()
    if card.name == "doublets_small":
        exclude = tuple(n.name for n in read_model(fp32).graph().graph.node if n.op_type not in ("Gemm", "Relu"))
    out = fp32.with_name("int8.onnx")
    quantise(fp32, out, dataset.x[chosen], tuple(dataset.ids[i] for i in chosen), exclude=exclude)
    return out


def model_files(
    given: str | Path, precisions: tuple[str, ...], folder: Path, dataset: Dataset
) -> tuple[dict[str, Path], dict[str, str]]:
    """Precision -> model file: a run folder exported into `folder`, or a model file as it is.

    Second, why a precision cannot be had: INT8 of `doublets_small`, for one, whose operators mostly stay float32.
    """
    path = Path(given)
    if not path.is_dir():
        own = read_model(path).card.precision
        if own not in precisions:
            raise InputError(f"{path} holds {own} weights, not {', '.join(precisions)}", remedy="give the run folder")
        return {own: path}, {}
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for precision in precisions:
        file = folder / f"{path.name}_{precision}.onnx"
        try:
            if not file.is_file():
                export_filter(path, file, dataset, precision)
            files[precision] = file
        except UnavailableError as error:
            refused[precision] = error.problem
    return files, refused
