"""Model files of a trained network: float32 folded, half precision, and the best INT8 that calibration gives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import SkytriggerError
from skytrigger.learn.exporting import prove
from skytrigger.model.calibration import METHODS, tensor_ranges
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.native_student import OPTION, native_form
from skytrigger.model.qdq import PRODUCTS, Ranges, quantised_tensors
from skytrigger.model.quantise import calibration_facts, stratified, weight_limit, write_int8
from skytrigger.model.skip_rows import skip_rows
from skytrigger.optimize.judging import Judge, Made, answers_of_file
from skytrigger.optimize.problem import Search
from skytrigger.optimize.qat import fine_tune
from skytrigger.optimize.training import Trainer
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.registry import DEFAULT

PARITY_IMAGES = 128


def float_files(search: Search, run: Path, name: str) -> list[Made]:
    """``<name>.onnx`` (float32, folded, parity with the network proven) and, if asked for, ``<name>_fp16.onnx``."""
    settings, problem = search.settings, search.problem

    def make(folder: Path) -> dict[str, Any]:
        network, card = search.network(run)
        export_onnx(network, card, folder / "whole.onnx")
        model = fold(read_model(folder / "whole.onnx").graph())
        left = sum(n.op_type == "BatchNormalization" for n in model.graph.node)
        if left and card.name == "student":
            raise SkytriggerError(f"{name}: {left} batch normalisations could not be folded")
        skip_rows(model)
        native_form(model, card.options.get(OPTION))
        write_model(model, card, folder / "fp32.onnx")
        part = problem.split.val[:PARITY_IMAGES]
        tiles = problem.dataset.select(card.channels).x[np.sort(part)].astype(np.float32)
        proof = prove(folder / "fp32.onnx", network, card, tiles, "fp32")
        files = {"fp32": "fp32.onnx"}
        if "fp16" in settings.precisions:
            export_onnx(network, card, folder / "fp16.onnx", "fp16")
            files["fp16"] = "fp16.onnx"
        return {"folder": folder.name, "files": files, "parity": proof}

    made = search.store.once("float", {"run": run.name, "fp16": "fp16" in settings.precisions}, make)
    folder = search.folder / "work" / made["folder"]
    return [Made(name, folder / file, precision, {"run": run.name}) for precision, file in made["files"].items()]


def given_file(search: Search) -> Made:
    """The given network as a model file: a run folder's in float32, a model file as it is."""
    given = search.problem.given
    if given.is_dir():
        return float_files(search, given, "given")[0]

    def make(folder: Path) -> dict[str, Any]:
        shutil.copyfile(given, folder / "given.onnx")
        return {"folder": folder.name}

    done = search.store.once("given-file", {"sha256": search.problem.weights}, make)
    return Made("given", search.folder / "work" / done["folder"] / "given.onnx", search.problem.card.precision)


def answers_of_tiles(file: Path, precision: str, tiles: Any) -> list[Any]:
    """A file's answers, head by head, in one batch."""
    session = open_session(file, DEFAULT, precision, len(tiles), threads=1)
    try:
        return list(session.answers(tiles).values())
    finally:
        session.close()


@dataclass
class EightBits:
    """One trained network on its way to INT8: `whole` is its unfolded file."""

    trainer: Trainer
    judge: Judge
    whole: Path
    folder: Path
    rows: Any

    @cached_property
    def card(self) -> ModelCard:
        return read_model(self.whole).card

    @cached_property
    def model(self) -> Any:
        return fold(read_model(self.whole).graph(), input_too=False)

    @cached_property
    def tiles(self) -> Any:
        """Training images that ranges are taken from."""
        return self.trainer.search.problem.dataset.select(self.card.channels).x[self.rows]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.trainer.search.problem.dataset.ids[i] for i in self.rows)

    @cached_property
    def ranges(self) -> dict[str, Ranges]:
        return dict(tensor_ranges(self.model, quantised_tensors(self.model), self.tiles))

    def judged(self, name: str, method: str, floats: Sequence[str] = ()) -> dict[str, Any]:
        """The written file's figures on validation images."""
        problem = self.trainer.search.problem
        answers = answers_of_file(self.folder / name, DEFAULT, "int8", problem, "val")
        return {"file": name, "method": method, "float_nodes": list(floats), "value": self.judge.score(answers),
                **self.judge.facts(answers)}  # fmt: skip

    def tried(self, method: str, floats: Sequence[str] = ()) -> dict[str, Any]:
        """By one calibration method, some layers left in float32."""
        name = f"{method}_{len(floats)}.onnx"
        write_int8(self.model, self.card, self.folder / name, calibration_facts(method, self.ids, floats),
                   ranges=self.ranges[method], float_nodes=floats, limit=weight_limit(), merge_input=True)  # fmt: skip
        return self.judged(name, method, floats)

    def aware(self, method: str, key: dict[str, Any]) -> dict[str, Any]:
        """Tuned under rounding."""
        ranges = self.ranges[method]
        tuned, scales = fine_tune(self.trainer, self.model, self.card, ranges, weight_limit(), {**key, "from": method})
        write_int8(tuned, self.card, self.folder / "aware.onnx",
                   calibration_facts(method, self.ids, quantisation_aware=True), ranges=ranges, limit=weight_limit(),
                   scales=scales, merge_input=True)  # fmt: skip
        return self.judged("aware.onnx", f"{method}, quantisation-aware")

    def sensitivity(self, method: str) -> list[str]:
        """Products by how much nearer the float answers come on calibration images when this one stays float32."""
        batch, ranges = self.tiles[:64].astype(np.float32), self.ranges[method]
        write_model(self.model, self.card, self.folder / "exact.onnx")
        reference = np.concatenate(answers_of_tiles(self.folder / "exact.onnx", "fp32", batch), axis=1)
        one, left = self.folder / "one_float.onnx", {}
        for name in [n.name for n in self.model.graph.node if n.op_type in PRODUCTS]:
            write_int8(self.model, self.card, one, {"method": "sensitivity"}, ranges=ranges, float_nodes=(name,),
                       limit=weight_limit(), merge_input=True)  # fmt: skip
            answers = np.concatenate(answers_of_tiles(one, "int8", batch), axis=1)
            left[name] = float(np.square(answers - reference).mean())
        for file in (self.folder / "exact.onnx", one):
            file.unlink(missing_ok=True)
        return sorted(left, key=lambda n: left[n])


def int8_file(trainer: Trainer, judge: Judge, run: Path, name: str) -> tuple[Made, dict[str, Any]]:
    """INT8 of a trained network, and how it came about.

    All calibration methods are tried; the best on validation images stays. If it is not accepted, the layers whose
    rounding costs most are left in float32, one after the other; if that fails too, the network is
    tuned under rounding.
    """
    search = trainer.search
    whole = float_files(search, run, name)[0].file.parent / "whole.onnx"
    train, y = search.problem.split.train, search.problem.dataset.y
    rows = stratified(train, y, search.settings.cost.calibration_images, search.settings.seed)
    ids = tuple(search.problem.dataset.ids[i] for i in rows)
    key = {"run": run.name, "ids": calibration_facts("", ids)["ids_sha256"]}

    def make(folder: Path) -> dict[str, Any]:
        eight = EightBits(trainer, judge, whole, folder, rows)
        log = [eight.tried(method) for method in METHODS]
        best = max(log, key=lambda t: t["value"])
        exact = answers_of_file(whole.parent / "fp32.onnx", DEFAULT, "fp32", search.problem, "val")
        reached = judge.accepts(exact)
        if not best["accepted"] and reached:
            order = eight.sensitivity(best["method"])
            for count in range(1, 1 + min(search.settings.cost.sensitive_layers, len(order) - 1)):
                log.append(eight.tried(best["method"], order[:count]))
                if log[-1]["accepted"]:
                    break
            best = max(log, key=lambda t: (t["accepted"], t["value"]))
            if not best["accepted"]:
                log.append(eight.aware(best["method"], key))
                best = max(log, key=lambda t: (t["accepted"], t["value"]))
        return {"folder": folder.name, "file": best["file"], "best": best, "tried": log, "float_reached": reached}

    done = search.store.once("int8", key, make)
    file = search.folder / "work" / done["folder"] / done["file"]
    return Made(name, file, "int8", {"run": run.name, **done["best"]}), done
