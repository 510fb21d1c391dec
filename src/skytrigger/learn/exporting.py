"""A trained run as a model file, with its parity proven on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.application import Application
from skytrigger.core.card import ModelCard
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.core.files import write_bytes
from skytrigger.core.seeds import generator
from skytrigger.learn.evaluate import align
from skytrigger.learn.output_layer import tensors_of
from skytrigger.learn.run_folder import RunFolder
from skytrigger.model.export import export_onnx, with_normalisation
from skytrigger.model.file import read_model
from skytrigger.model.parity import parity_of_heads, require_parity
from skytrigger.model.quantise import CALIBRATION_IMAGES, quantise, stratified
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import faithful

if TYPE_CHECKING:
    from torch import nn

PARITY_IMAGES = 256
BATCH = 64


def export_run(
    run: str | Path,
    application: Application,
    out: str | Path,
    precision: str = "fp32",
    data: tuple[Dataset, Split] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Export a run folder and compare model file and network on the same images.

    Parameters
    ----------
    data
        The dataset and split of the run, channels as the model wants them. Parity is then proven on
        validation images; without it on random ones drawn from the card's mean and std. int8 needs
        it, for its ranges.
    notes
        To be added to those of the card.

    Returns
    -------
    dict
        `model.parity.parity_of_heads`'s figures, bytes, runtime, kind of images.

    Raises
    ------
    SkytriggerError
        The file's answers differ by more than its precision explains; nothing is left behind then.
    """
    network, card = RunFolder(Path(run)).load(application.build)
    tiles, kind = _parity_tiles(card, data)
    network, card = application.for_export(network, card)
    card = replace(card, notes={**card.notes, **(notes or {})})
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        export_onnx(network, card, draft, "fp16" if precision == "fp16" else "fp32")
        if precision == "int8":
            if data is None:
                raise InputError("int8 needs calibration images", remedy="--data with the data of the run")
            draft = _quantised(draft, application, data[0], data[1].train, draft.with_name("int8.onnx"))
        elif precision not in ("fp32", "fp16"):
            raise InputError(f"cannot export to precision {precision!r}", expected="fp32, fp16 or int8")
        result = prove(draft, network, card, tiles, precision)
        content = draft.read_bytes()
    write_bytes(Path(out), content)
    facts = {"model": str(out), "precision": precision, "bytes": len(content), "tiles": kind}
    return {**facts, **result}


def export_file(
    model: str | Path, application: Application, out: str | Path, data: tuple[Dataset, NDArray[np.int64]]
) -> dict[str, Any]:
    """INT8 of a float32 model file, ranges from images of the dataset, and the comparison with the file itself.

    Parameters
    ----------
    data
        The dataset, channels as the model wants them, and the rows that ranges may come from.

    Raises
    ------
    SkytriggerError
        The answers differ by more than eight bits explain; nothing is left behind then.
    """
    file, (dataset, rows) = read_model(model), data
    tiles = dataset.x[rows[:PARITY_IMAGES]].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        draft = _quantised(file.path, application, dataset, rows, Path(folder) / "int8.onnx")
        answers = [_file_answers(path, precision, tiles) for path, precision in ((file.path, "fp32"), (draft, "int8"))]
        names = [head.name for head in file.card.heads]
        given, found = ([one[name] for name in names] for one in answers)
        result = parity_of_heads(file.card.heads, given, found)
        require_parity(result, "int8")
        content = draft.read_bytes()
    write_bytes(Path(out), content)
    facts = {"model": str(out), "precision": "int8", "bytes": len(content), "tiles": "of the images of its ranges"}
    return {**facts, "runtime": faithful("int8"), **result}


def _file_answers(file: Path, precision: str, tiles: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
    session = open_session(file, faithful(precision), precision, BATCH)
    try:
        return session.answers(tiles)
    finally:
        session.close()


def prove(
    file: Path, network: nn.Module, card: ModelCard, tiles: NDArray[np.float32], precision: str
) -> dict[str, Any]:
    """``runtime`` and `model.parity.parity_of_heads`'s figures of a model file and the network it was made from.

    Raises
    ------
    SkytriggerError
        The file's answers differ by more than its precision explains.
    """
    runtime = faithful(precision)
    answers = _file_answers(file, precision, tiles)
    reference = _answers(network, card, tiles)
    result = parity_of_heads(card.heads, reference, [answers[head.name] for head in card.heads])
    require_parity(result, precision)
    return {"runtime": runtime, **result}


def _answers(network: nn.Module, card: ModelCard, tiles: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The network's own, head by head."""
    torch = require("torch", why="export")
    module = with_normalisation(network, card)
    with torch.inference_mode():
        parts = [tensors_of(module(torch.from_numpy(t))) for t in np.array_split(tiles, -(-len(tiles) // BATCH))]
    return [np.concatenate([tensor.numpy() for tensor in head]) for head in zip(*parts, strict=True)]


def _quantised(fp32: Path, application: Application, dataset: Dataset, rows: NDArray[np.int64], out: Path) -> Path:
    file = read_model(fp32)
    chosen = stratified(rows, dataset.y, CALIBRATION_IMAGES, file.card.seed)
    exclude = application.float_nodes(file) if application.float_nodes else ()
    quantise(fp32, out, dataset.x[chosen], tuple(dataset.ids[i] for i in chosen), exclude=exclude)
    return out


def _parity_tiles(card: ModelCard, data: tuple[Dataset, Split] | None) -> tuple[NDArray[np.float32], str]:
    if data is not None and len(data[1].val):
        dataset, split = data
        return dataset.x[np.sort(split.val[:PARITY_IMAGES])].astype(np.float32), "validation images"
    shape = (64, len(card.channels), *card.size)
    noise = generator(card.seed, "parity").standard_normal(shape, dtype=np.float32)
    mean = np.array(card.mean, np.float32)[:, None, None]
    std = np.array(card.std, np.float32)[:, None, None]
    return np.maximum(noise * std + mean, 0), "random images of the data's mean and std"


def model_files(
    given: str | Path, application: Application, precisions: Sequence[str], folder: Path, dataset: Dataset
) -> tuple[dict[str, Path], dict[str, str]]:
    """Precision -> model file: a run folder exported into `folder`, or a model file as it is.

    `dataset` is the run's. Second, why a precision cannot be had.
    """
    path = Path(given)
    if not path.is_dir():
        own = read_model(path).card.precision
        if own not in precisions:
            raise InputError(f"{path} holds {own} weights, not {', '.join(precisions)}", remedy="give the run folder")
        return {own: path}, {}
    card = RunFolder(path).card()
    dataset = align(dataset, card)
    data = (dataset, application.split_again(dataset, card, None))
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for precision in precisions:
        file = folder / f"{path.name}_{precision}.onnx"
        try:
            if not file.is_file():
                export_run(path, application, file, precision, data)
            files[precision] = file
        except UnavailableError as error:
            refused[precision] = error.problem
    return files, refused
