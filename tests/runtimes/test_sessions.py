"""Every engine gives the trained network's answer, on the provider and precision asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.eo.networks import NAMES
from skytrigger.model.export import write_model
from skytrigger.model.file import CARD_KEY, read_model
from skytrigger.model.parity import parity, require_parity
from skytrigger.model.quantise import quantise, stratified
from skytrigger.runtimes.onnxruntime_session import precision_of
from skytrigger.runtimes.open import open_session


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_every_network_on_every_runtime(made, name: str, runtime: str) -> None:
    model = made(name)
    session = open_session(model.path, runtime, "fp32", batch_size=4, threads=1)
    logits = session.run(model.tiles)  # 11 images in batches of 4: the partial one counts
    assert logits.dtype == np.float32
    assert parity(model.logits, logits)["relative_error_max"] < 1e-5
    facts = session.facts
    assert (facts["runtime"], facts["precision_run"], facts["model"]) == (runtime, "fp32", name)
    assert facts["build_s"] > 0
    assert facts["engine_bytes"] > 0
    session.close()


def test_torch_compiled(made) -> None:
    model = made()
    session = open_session(model.path, "torch-compiled", "fp32", batch_size=4, threads=1)
    assert parity(model.logits, session.run(model.tiles))["relative_error_max"] < 1e-5
    assert session.facts["provider"] == "cpu compiled"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize(("count", "batch", "streams"), [(1, 1, 2), (11, 2, 2), (11, 3, 3), (5, 8, 2)])
def test_streams_change_nothing(made, runtime: str, count: int, batch: int, streams: int) -> None:
    model = made()
    session = open_session(model.path, runtime, "fp32", batch_size=batch, threads=1, streams=streams)
    logits = session.run(model.tiles[:count])
    assert parity(model.logits[:count], logits)["relative_error_max"] < 1e-5
    session.close()


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_bf16_runs_in_bf16_or_says_that_it_cannot(made, runtime: str) -> None:
    model = made()
    try:
        session = open_session(model.path, runtime, "bf16", batch_size=11, threads=1)
    except UnavailableError as error:
        assert "bf16" in str(error) or "bfloat16" in str(error)  # noqa: PT017
        return
    error = parity(model.logits, session.run(model.tiles))["relative_error_max"]
    assert 1e-4 < error < 0.1  # float32 would be closer, garbage farther


def test_fp16_weights_without_fp16_kernels_are_not_called_fp16(made) -> None:
    model = made(precision="fp16")
    assert read_model(model.path).card.precision == "fp16"
    assert model.path.stat().st_size < 0.6 * made().path.stat().st_size
    logits = open_session(model.path, "torch", "fp16", batch_size=11, threads=1).run(model.tiles)
    assert 1e-6 < parity(model.logits, logits)["relative_error_max"] < 3e-2
    try:
        session = open_session(model.path, "onnxruntime", "fp16", threads=1)
    except UnavailableError as error:
        assert "fp32" in str(error)  # noqa: PT017
    else:
        assert session.facts["precision_run"] == "fp16"


def test_int8_runs_int8_kernels(made, tmp_path: Path) -> None:
    model = made()
    out = tmp_path / "int8.onnx"
    quantise(model.path, out, model.tiles, tuple(map(str, range(11))))
    card = read_model(out).card
    assert card.precision == "int8"
    assert card.notes["calibration"]["images"] == 11
    session = open_session(out, "onnxruntime", "int8", batch_size=11, threads=1)
    assert session.facts["precision_run"] == "int8"
    assert parity(model.logits, session.run(model.tiles))["relative_error_max"] < 0.3
    with pytest.raises(InputError, match="int8 weights"):
        open_session(out, "onnxruntime", "fp32")


def test_stratified_is_even_and_from_the_index_only() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] * 45)
    index = np.arange(0, 100, 2)
    chosen = stratified(index, labels, 20)
    assert set(chosen) <= set(index)
    counts = np.bincount(labels[chosen], minlength=3)
    assert counts[1] == np.isin(np.flatnonzero(labels == 1), index).sum()
    assert abs(int(counts[0]) - int(counts[2])) <= 1
    np.testing.assert_array_equal(chosen, stratified(index, labels, 20))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"runtime": "tensorflow"}, InputError, "tensorflow"),
        ({"batch_size": 0}, InputError, "batch size"),
        ({"threads": 4096}, InputError, "threads"),
        ({"streams": 0}, InputError, "streams"),
        ({"precision": "fp8"}, UnavailableError, "fp8"),
        ({"precision": "fp16"}, InputError, "fp32 weights"),
        ({"runtime": "onnxruntime", "device": "npu"}, UnavailableError, "npu"),
        ({"runtime": "openvino", "device": "npu"}, UnavailableError, "NPU"),
    ],
)
def test_what_cannot_be_done_is_said(made, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        open_session(made().path, **options)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu(made, runtime: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UnavailableError):
        open_session(made().path, runtime, device="cuda")


@pytest.mark.parametrize(
    "tiles",
    [np.zeros((1, 3, 32, 32), np.float32), np.zeros((4, 32, 32), np.float32), np.zeros((0, 4, 32, 32), np.float32),
     np.zeros((1, 4, 32, 32), np.uint16), np.zeros((1, 4, 64, 64), np.float32)],
)  # fmt: skip
def test_tiles_that_do_not_fit_are_refused(made, tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        open_session(made().path, threads=1).run(tiles)


def test_the_file_alone_carries_the_card_and_nothing_of_this_machine(made) -> None:
    model = made("regularized")
    content = model.path.read_bytes()
    assert read_model(model.path).card == replace(model.card, precision="fp32")
    assert b"site-packages" not in content
    assert b".py" not in content
    assert len(content) < 4.1 * sum(p.numel() for p in model.network.parameters()) + 20_000


def test_bad_model_files_are_named(made, tmp_path: Path) -> None:
    content = made().path.read_bytes()
    bad = tmp_path / "bad.onnx"
    for damage in (b"", b"not a model", content[: len(content) // 2]):
        bad.write_bytes(damage)
        with pytest.raises(InputError, match=r"bad\.onnx"):
            read_model(bad)
    with pytest.raises(InputError, match="cannot read"):
        read_model(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="folder"):
        read_model(tmp_path)


def test_foreign_and_lying_models_are_refused(made, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    model = onnx.load(made().path)
    del model.metadata_props[:]
    bad.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=CARD_KEY):
        read_model(bad)
    write_model(model, replace(made().card, channels=("B01",), mean=(0.0,), std=(1.0,)), bad)
    with pytest.raises(InputError, match="its own card"):
        read_model(bad)
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    write_model(model, made().card, bad)
    with pytest.raises(InputError, match="outside the file"):
        read_model(bad)


def test_parity_fails_where_it_must(made) -> None:
    good = made().logits
    with pytest.raises(SkytriggerError, match="differs"):
        require_parity(parity(good, good * 1.01), "fp32")
    with pytest.raises(SkytriggerError, match="differs"):
        require_parity(parity(good, good * np.nan), "fp32")
    result = parity(np.array([[1.0, 0.9]], np.float32), np.array([[0.9, 1.0]], np.float32))
    assert result["changed_decisions"] == 1
    assert result["largest_margin_changed"] == pytest.approx(0.1, rel=1e-5)


def test_precision_is_read_from_the_graph(made) -> None:
    assert precision_of(made().path.read_bytes()) == "fp32"
    assert precision_of(made(precision="fp16").path.read_bytes()) == "fp16"


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino", "torch-compiled"])
@pytest.mark.parametrize("kind", ["uint16", "uint8", "float16"])
def test_tiles_as_they_are_stored(made, runtime: str, kind: str) -> None:
    model = made()
    tiles = (model.tiles / (16 if kind == "uint8" else 1)).astype(kind)
    if kind == "uint16":
        tiles[0, 0, 0, 0] = 65_535  # no sign
    reference = open_session(model.path, runtime, batch_size=4, threads=1)
    session = open_session(model.path, runtime, batch_size=4, threads=1, input_type=kind)
    assert session.facts["input_type"] == kind
    found = session.run(tiles)
    assert parity(reference.run(tiles.astype(np.float32)), found)["relative_error_max"] < 1e-5
    with pytest.raises(InputError, match="dtype float32"):
        session.run(model.tiles)


@pytest.mark.parametrize("device", ["gpu", "npu", "mps", "cud"])
def test_torch_knows_its_devices(made, device: str) -> None:
    with pytest.raises(UnavailableError, match="no device"):
        open_session(made().path, "torch", device=device)


def test_unknown_input_type(made) -> None:
    with pytest.raises(InputError, match="input type 'int4'"):
        open_session(made().path, input_type="int4")
