"""Model files of a trained network: float32 folded, half precision, and the best INT8 that calibration gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.errors import SkytriggerError
from skytrigger.core.extras import require
from skytrigger.model.calibration import METHODS, tensor_ranges
from skytrigger.model.export import export_onnx, with_normalisation, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.parity import parity, require_parity
from skytrigger.model.qdq import PRODUCTS, Ranges, quantised_tensors
from skytrigger.model.quantise import calibration_facts, stratified, weight_limit, write_int8
from skytrigger.optimize.engines import Judge, Made, logits_of
from skytrigger.optimize.qat import fine_tune
from skytrigger.optimize.training import Trainer
from skytrigger.runtimes.open import open_session

PARITY_IMAGES = 128


def float_files(trainer: Trainer, run: Path, name: str) -> list[Made]:
    """``<name>.onnx`` (float32, folded, parity with the network proven) and, if asked for, ``<name>_fp16.onnx``."""
    store, settings = trainer.store, trainer.settings

    def make(folder: Path) -> dict[str, Any]:
        torch = require("torch", why="export")
        network, card = trainer.network(run)
        export_onnx(network, card, folder / "whole.onnx")
        model = fold(read_model(folder / "whole.onnx").graph())
        left = sum(n.op_type == "BatchNormalization" for n in model.graph.node)
        if left and card.name == "student":
            raise SkytriggerError(f"{name}: {left} batch normalisations could not be folded")
        write_model(model, card, folder / "fp32.onnx")
        part = trainer.problem.split.val[:PARITY_IMAGES]
        tiles = trainer.problem.dataset.select(card.channels).x[np.sort(part)].astype(np.float32)
        with torch.inference_mode():
            reference = with_normalisation(network, card)(torch.from_numpy(tiles)).numpy()
        session = open_session(folder / "fp32.onnx", "onnxruntime", "fp32", len(tiles), threads=1)
        result = parity(reference, session.run(tiles))
        session.close()
        require_parity(result, "fp32")
        files = {"fp32": "fp32.onnx"}
        if "fp16" in settings.precisions:
            export_onnx(network, card, folder / "fp16.onnx", "fp16")
            files["fp16"] = "fp16.onnx"
        return {"folder": folder.name, "files": files, "parity": result}

    made = store.once("float", {"run": run.name, "fp16": "fp16" in settings.precisions}, make)
    folder = store.folder / "work" / made["folder"]
    return [Made(name, folder / file, precision, {"run": run.name}) for precision, file in made["files"].items()]


def calibration_rows(trainer: Trainer) -> Any:
    """Training images that ranges are taken from."""
    problem = trainer.problem
    return stratified(
        problem.split.train, problem.dataset.y, trainer.settings.cost.calibration_images, trainer.settings.seed
    )


def int8_file(trainer: Trainer, judge: Judge, run: Path, name: str) -> tuple[Made, dict[str, Any]]:
    """INT8 of a trained network, and how it came about.

    All calibration methods are tried; the best on validation images stays. If it is not accepted, the layers whose
    rounding costs most are left in float32, one after the other; if that fails too, the network is
    tuned under rounding.
    """
    source = float_files(trainer, run, name)[0].file.parent / "whole.onnx"
    rows = calibration_rows(trainer)
    ids = tuple(trainer.problem.dataset.ids[i] for i in rows)

    def make(folder: Path) -> dict[str, Any]:
        whole = read_model(source)
        model = fold(whole.graph(), input_too=False)
        tiles = trainer.problem.dataset.select(whole.card.channels).x[rows]
        ranges = tensor_ranges(model, quantised_tensors(model), tiles)

        def write(method: str, floats: Sequence[str], out: Path) -> None:
            facts = calibration_facts(method, ids, floats)
            write_int8(model, whole.card, out, facts, ranges=ranges[method], float_nodes=floats, limit=weight_limit(),
                       merge_input=True)  # fmt: skip

        def tried(method: str, floats: Sequence[str]) -> dict[str, Any]:
            out = folder / f"{method}_{len(floats)}.onnx"
            write(method, floats, out)
            logits = logits_of(out, "onnxruntime", "int8", trainer.problem, "val")
            facts = judge.facts(logits)
            value = facts[trainer.problem.metric.name]["estimate"]
            return {"file": out.name, "method": method, "float_nodes": list(floats), "value": value, **facts}

        def aware(method: str) -> dict[str, Any]:
            tuned, scales = fine_tune(trainer, model, whole.card, ranges[method], weight_limit())
            out = folder / "aware.onnx"
            facts = calibration_facts(method, ids, quantisation_aware=True)
            write_int8(tuned, whole.card, out, facts, ranges=ranges[method], limit=weight_limit(), scales=scales,
                       merge_input=True)  # fmt: skip
            facts = judge.facts(logits_of(out, "onnxruntime", "int8", trainer.problem, "val"))
            value = facts[trainer.problem.metric.name]["estimate"]
            return {"file": out.name, "method": f"{method}, quantisation-aware", "float_nodes": [], "value": value,
                    **facts}  # fmt: skip

        log = [tried(method, ()) for method in METHODS]
        best = max(log, key=lambda t: t["value"])
        reached = judge.accepts(logits_of(source.parent / "fp32.onnx", "onnxruntime", "fp32", trainer.problem, "val"))
        if not best["accepted"] and reached:
            order = sensitivity(model, whole.card, ranges[best["method"]], tiles, folder)
            for count in range(1, 1 + min(trainer.settings.cost.sensitive_layers, len(order) - 1)):
                log.append(tried(best["method"], order[:count]))
                if log[-1]["accepted"]:
                    break
            best = max(log, key=lambda t: (t["accepted"], t["value"]))
            if not best["accepted"]:
                log.append(aware(best["method"]))
                best = max(log, key=lambda t: (t["accepted"], t["value"]))
        return {"folder": folder.name, "file": best["file"], "best": best, "tried": log, "float_reached": reached}

    key = {"run": run.name, "ids": calibration_facts("", ids)["ids_sha256"]}
    done = trainer.store.once("int8", key, make)
    file = trainer.store.folder / "work" / done["folder"] / done["file"]
    return Made(name, file, "int8", {"run": run.name, **done["best"]}), done


def sensitivity(model: Any, card: Any, ranges: Ranges, tiles: Any, folder: Path) -> list[str]:
    """Products by how much nearer the float answers come on calibration images when this one stays float32."""
    outs = {}
    names = [n.name for n in model.graph.node if n.op_type in PRODUCTS]
    exact = folder / "exact.onnx"
    write_model(model, card, exact)
    batch = tiles[:64].astype(np.float32)

    def answers(file: Path, precision: str) -> Any:
        session = open_session(file, "onnxruntime", precision, len(batch), threads=1)
        try:
            return session.run(batch)
        finally:
            session.close()

    reference = answers(exact, "fp32")
    for name in names:
        out = folder / "one_float.onnx"
        facts = {"method": "sensitivity"}
        write_int8(model, card, out, facts, ranges=ranges, float_nodes=(name,), limit=weight_limit(), merge_input=True)
        outs[name] = float(np.square(answers(out, "int8") - reference).mean())
    for file in (exact, folder / "one_float.onnx"):
        file.unlink(missing_ok=True)
    return sorted(names, key=lambda n: outs[n])
