"""A training that starts from a model file: the file's network is rebuilt, proven, and fitted to other classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from skytrigger.applications.registry import applications, build, model_path
from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.train import train
from skytrigger.learn.unpack import network_of_file, settle
from skytrigger.model.export import export_onnx, write_model
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.skip_rows import skip_rows
from skytrigger.runtimes.open import open_session

SMALL = {"widths": [8, 16], "depths": [0, 1]}
STILL = Recipe("student", epochs=1, learning_rate=1e-12, weight_decay=0.0, options=SMALL, precision="fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("start") / "run"
    return train(build, tiny.dataset(), tiny.split(), replace(STILL, epochs=2, learning_rate=4e-3), out, threads=1)


@pytest.fixture(scope="module")
def file(run: RunFolder) -> Path:
    """Folded, as a search and `export --precision int8` leave files: no batch normalisation is left in it."""
    whole, out = run.path / "whole.onnx", run.path / "folded.onnx"
    export_onnx(*run.load(build), whole)
    model = fold(read_model(whole).graph())
    assert all(node.op_type not in ("BatchNormalization", "Div") for node in model.graph.node)
    write_model(model, read_model(whole).card, out)
    return out


@pytest.mark.parametrize("name", list(applications()["eurosat"].packaged))
def test_packaged_classifiers_become_networks_again(name: str) -> None:
    network, card = network_of_file(model_path(name), build)
    random = np.random.default_rng(1)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (card.mean, card.std))
    tiles = (mean + std * random.standard_normal((24, len(mean), 1, 1)) * np.ones(card.size)).astype(np.float32)
    session = open_session(model_path(name), "onnxruntime", "int8", 24, threads=1)
    theirs = session.run(tiles)
    session.close()
    with torch.inference_mode():
        mine = network(torch.from_numpy((tiles - mean) / std)).numpy()
    assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.98  # the file rounds, and cuts what is beyond its ranges


def test_settled_normalisations_change_no_answer_and_fit_training(file: Path) -> None:
    network, _ = network_of_file(file, build)
    images = torch.randn(64, 3, 16, 16)
    with torch.inference_mode():
        before = network(images)
        settle(network, images)
        torch.testing.assert_close(network(images), before, atol=1e-4, rtol=1e-4)
        network.train()  # by the batch's own statistics, which are now those that it holds
        torch.testing.assert_close(network(images), before, atol=2e-2, rtol=2e-2)


def test_a_training_from_a_file_begins_with_its_answers(run: RunFolder, file: Path, tmp_path: Path) -> None:
    again = train(build, tiny.dataset(), tiny.split(), STILL, tmp_path / "again", start=file, threads=1)
    images = torch.randn(16, 3, 16, 16)
    with torch.inference_mode():
        mine, theirs = again.load(build)[0](images), run.load(build)[0](images)
    # its running statistics have moved by an epoch
    assert np.corrcoef(mine.numpy().ravel(), theirs.numpy().ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("stem", "precision"), [("k4", "fp32"), ("r4", "fp32"), ("mix", "fp16")])
def test_files_as_they_come_from_export_and_from_a_search(stem: str, precision: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = replace(read_model(model_path("eurosat_rgb")).card, options={**SMALL, "stem": stem}, notes={})
    network = build("student", 3, card.size, 10, **card.options).eval()
    export_onnx(network, card, tmp_path / "whole.onnx", precision)
    files = [tmp_path / "whole.onnx"]
    if precision == "fp32":
        model = fold(read_model(files[0]).graph())
        skip_rows(model)
        files.append(tmp_path / "folded.onnx")
        write_model(model, read_model(files[0]).card, files[1])
    images = torch.randn(8, 3, *card.size)
    for file in files:
        with torch.inference_mode():
            torch.testing.assert_close(network_of_file(file, build)[0](images), network(images), atol=2e-3, rtol=2e-2)


def renamed(*names: str) -> Dataset:
    return replace(tiny.dataset(classes=len(names)), classes=names, heads=(), content_hash="other")


def test_classes_are_taken_by_name_and_new_ones_start_untrained(run: RunFolder, file: Path, tmp_path: Path) -> None:
    for number, start in enumerate((run.path, file)):
        data = renamed("class3", "new", "class1")
        again = train(build, data, tiny.split(), STILL, tmp_path / str(number), start=start, threads=1)
        mine, theirs = again.load(build)[0].state_dict(), run.load(build)[0].state_dict()
        key = [k for k in mine if mine[k].ndim == 2][-1]
        torch.testing.assert_close(mine[key][[0, 2]], theirs[key][[3, 1]], atol=1e-5, rtol=1e-4)
        assert not torch.isclose(mine[key][1], theirs[key]).all(1).any()


def test_a_file_of_other_layers_is_refused(file: Path, tmp_path: Path) -> None:
    model = read_model(file)
    for options, why in (
        ({**SMALL, "depths": [0, 2]}, "no layer of the file for"),
        ({**SMALL, "depths": [0, 0]}, "no layer of the file for"),
        ({"widths": [8, 24], "depths": [0, 1]}, "weights of"),
        ({**SMALL, "stem": "s2"}, "weights of"),
    ):
        other = tmp_path / "other.onnx"
        write_model(model.graph(), replace(model.card, options=options), other)
        with pytest.raises(InputError, match=f"are not those of the network 'student'.*{why}"):
            network_of_file(other, build)


def test_weights_that_answer_otherwise_are_refused(file: Path, tmp_path: Path) -> None:
    model = read_model(file)
    mean = tuple(m + 5 * s for m, s in zip(model.card.mean, model.card.std, strict=True))  # not the graph's own
    write_model(model.graph(), replace(model.card, mean=mean), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="answers differ by"):
        network_of_file(tmp_path / "other.onnx", build)


def test_somebody_elses_graph_cannot_be_started_from(file: Path, tmp_path: Path) -> None:
    model = read_model(file)
    write_model(model.graph(), replace(model.card, notes={"adopted": {}}), tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match=r"somebody else's graph.*\n.*--teacher"):
        network_of_file(tmp_path / "theirs.onnx", build)
