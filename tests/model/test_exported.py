"""What the exporter writes of a network of two layers: raw units in, float32 out, and nothing of this machine."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from skytrigger import __version__
from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.heads import Head
from skytrigger.core.seen import FILE_LIMIT, NOTE, Seen, hashes_of, seen_of
from skytrigger.model.export import OPSET, export_onnx, with_normalisation, write_model
from skytrigger.model.file import read_model

CARD = ModelCard("n", ("a", "b"), ("x", "y", "z"), (4, 6), (100.0, -3.0), (10.0, 0.5), "DN", "hash")
HEADS = (Head("kind", "classes", ("x", "y", "z")), Head("size", "values", ("s", "t"), "m"))


class Net(torch.nn.Module):
    """A convolution, its mean over the pixels, and one or two dense layers."""

    def __init__(self, two: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(2, 5, 3)
        self.drop = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(5, 3)
        self.more = torch.nn.Linear(5, 2) if two else None

    def forward(self, tiles: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Logits, and values where there are two heads."""
        features = self.drop(self.conv(tiles)).mean(dim=(2, 3))
        return self.out(features) if self.more is None else (self.out(features), self.more(features))


def raw(n: int = 5) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(n, 2, 4, 6))
    return (noise * np.array(CARD.std)[:, None, None] + np.array(CARD.mean)[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("fp16", 1e-2)])
def test_normalisation_is_inside_and_answers_are_float32(two: bool, precision: str, tolerance: float) -> None:
    network = Net(two).eval()
    module = with_normalisation(network, CARD, precision)
    assert not module.training
    tiles = torch.from_numpy(raw())
    standard = (tiles - torch.tensor(CARD.mean)[:, None, None]) / torch.tensor(CARD.std)[:, None, None]
    found, expected = module(tiles), network(standard)
    for mine, theirs in zip(found if two else [found], expected if two else [expected], strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
    assert network.conv.weight.dtype == torch.float32  # what was given stays as it is
    assert {p.dtype for p in module.parameters()} == {torch.float32 if precision == "fp32" else torch.float16}
    assert {b.dtype for b in module.buffers()} == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_file_answers_as_the_network_for_any_number_of_images(tmp_path: Path, precision: str) -> None:
    network, card = Net(two=True).train(), replace(CARD, classes=(), heads=HEADS)
    path = tmp_path / "m.onnx"
    export_onnx(network, card, str(path), precision)
    found = read_model(path)
    assert found.card == replace(card, precision=precision)
    graph = found.graph()
    assert [o.name for o in graph.graph.output] == ["kind", "size"]
    assert [i.version for i in graph.opset_import if not i.domain] == [OPSET] == [18]
    assert (graph.producer_name, graph.producer_version, graph.graph.name) == ("skytrigger", __version__, "skytrigger")
    assert [p.key for p in graph.metadata_props] == ["skytrigger.card"]
    assert not graph.doc_string + graph.graph.doc_string
    assert not graph.graph.metadata_props
    for item in (*graph.graph.node, *graph.graph.input, *graph.graph.value_info, *graph.graph.initializer):
        assert not item.doc_string
        assert not item.metadata_props
    kinds = {t.data_type for t in graph.graph.initializer if len(t.dims) == 2}
    assert kinds == {onnx.TensorProto.FLOAT if precision == "fp32" else onnx.TensorProto.FLOAT16}
    module = with_normalisation(network.eval(), card)
    for n in (1, 5):
        expected = [head.detach().numpy() for head in module(torch.from_numpy(raw(n)))]
        for mine, theirs in zip(ReferenceEvaluator(graph).run(None, {"tiles": raw(n)}), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-4 if precision == "fp32" else 2e-2)
    assert logging.getLogger("torch.onnx").level == logging.ERROR


@pytest.mark.parametrize("precision", ["int8", "bf16", ""])
def test_other_precisions_are_not_exported(tmp_path: Path, precision: str) -> None:
    with pytest.raises(InputError, match=f"precision '{precision}'"):
        export_onnx(Net(), CARD, tmp_path / "m.onnx", precision)
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_is_the_same_each_time_and_has_one_card(tmp_path: Path) -> None:
    export_onnx(Net(), CARD, tmp_path / "m.onnx")
    model = read_model(tmp_path / "m.onnx").graph()
    assert NOTE not in read_model(tmp_path / "m.onnx").card.notes
    before = [(t.name, t.raw_data) for t in model.graph.initializer]
    write_model(model, replace(CARD, notes={"other": 1}), tmp_path / "again.onnx")
    again = read_model(tmp_path / "again.onnx")
    assert again.card.notes == {"other": 1}
    assert [(t.name, t.raw_data) for t in again.graph().graph.initializer] == before
    write_model(model, again.card, tmp_path / "twice.onnx")
    assert (tmp_path / "twice.onnx").read_bytes() == again.content


@pytest.mark.parametrize(("count", "share"), [(FILE_LIMIT, 1), (FILE_LIMIT + 1, 8)])
def test_a_long_list_of_what_was_seen_is_thinned_in_the_file(tmp_path: Path, count: int, share: int) -> None:
    nothing = np.zeros(0, np.uint64)
    seen = Seen(np.unique(hashes_of([f"River_{i}" for i in range(count)], "")), nothing)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    with_list = replace(CARD, notes={NOTE: seen.note(), "kept": 1})
    export_onnx(module, with_list, tmp_path / "m.onnx")
    notes = read_model(tmp_path / "m.onnx").card.notes
    found = seen_of(notes, "m")
    assert found is not None
    assert (found.share, notes["kept"]) == (share, 1)
    assert len(found.train) == pytest.approx(count / share, rel=0.2)
    assert with_list.notes[NOTE] == seen.note()
