"""INT8 by static quantisation: QDQ pairs, per-channel weights, ranges from training images."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.host import host_facts
from skytrigger.core.seeds import generator
from skytrigger.model.calibration import METHODS, tensor_ranges
from skytrigger.model.export import write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.native_student import OPTION, native_form
from skytrigger.model.qdq import REDUCED_LIMIT, WEIGHT_LIMIT, Scale, quantised_tensors, write_qdq
from skytrigger.model.skip_rows import skip_rows

CALIBRATION_IMAGES = 200
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}


def weight_limit() -> int:
    """127 where the CPU adds up 8-bit products in 32 bits, else 63: without that pairs of them overflow 16 bits."""
    return WEIGHT_LIMIT if VNNI & set(host_facts()["cpu"]["isa"]) else REDUCED_LIMIT


def stratified(index: NDArray[np.int64], labels: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """At most `count` of the images `index`, as evenly over the classes as they allow."""
    random = generator(seed, "calibration")
    shuffled = random.permutation(index)
    rank = np.zeros(len(shuffled), dtype=np.int64)
    for label in np.unique(labels[shuffled]):
        member = labels[shuffled] == label
        rank[member] = np.arange(member.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:count]])


def quantise(
    fp32_model: str | Path,
    out: str | Path,
    tiles: NDArray[Any],
    ids: tuple[str, ...],
    method: str = "minmax",
    exclude: tuple[str, ...] = (),
) -> None:
    """Write the INT8 model file `out` from a float32 one.

    Standardisation stays float32: DN ranges would eat the 8 bits. Weights have as many bits as this machine's
    products allow (`weight_limit`).

    Parameters
    ----------
    tiles
        Calibration images (n, c, h, w) in raw units: of the training part only.
    ids
        Their names; a hash of the list goes into the card.
    method
        How activation ranges are chosen: ``minmax``, ``percentile`` (99.99) or ``entropy``.
    exclude
        Graph nodes to leave in float32.
    """
    if method not in METHODS:
        raise InputError(f"calibration method {method!r}", expected=", ".join(METHODS))
    if len(tiles) == 0:
        raise InputError("no calibration images", remedy="--data with a training part")
    source = read_model(fp32_model)
    require_fp32(source.card, fp32_model)
    model = fold(source.graph(), input_too=False)
    ranges = tensor_ranges(model, quantised_tensors(model, exclude), tiles, [method])[method]
    facts = calibration_facts(method, ids, exclude)
    write_int8(model, source.card, out, facts, ranges=ranges, float_nodes=exclude, limit=weight_limit())


def calibration_facts(method: str, ids: Sequence[str], float_nodes: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """What the card says about the ranges' origin."""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return {"method": method, "images": len(ids), "ids_sha256": digest, "float_nodes": list(float_nodes), **more}


def write_int8(
    model: Any,
    card: ModelCard,
    out: str | Path,
    calibration: dict[str, Any],
    *,
    ranges: Mapping[str, tuple[float, float]],
    float_nodes: Collection[str] = (),
    limit: int = WEIGHT_LIMIT,
    scales: Mapping[str, Scale] | None = None,
    steps: Mapping[str, NDArray[np.float32]] | None = None,
    merge_input: bool = False,
) -> None:
    """Write the QDQ form of the folded graph `model` as a model file; see `qdq.write_qdq` and `skip_rows`."""
    how = {"weight_limit": limit, "merged_input": merge_input}
    notes = {**card.notes, "calibration": {**calibration, **how}}
    quantised = write_qdq(model, ranges, float_nodes, limit, scales, steps, merge_input)
    skip_rows(quantised)
    native_form(quantised, card.options.get(OPTION))
    write_model(quantised, replace(card, precision="int8", notes=notes), out)


def require_fp32(card: ModelCard, path: str | Path) -> None:
    """Raise InputError unless the card says float32."""
    if card.precision != "fp32":
        raise InputError(f"{path} holds {card.precision} weights", expected="fp32 to quantise from")
