"""The registry of applications: found by card or name, registered once, refused with a reason."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import skytrigger
from applications.toy import TOY, build
from skytrigger.applications import registry
from skytrigger.cli.main import main
from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError

SOURCE = Path(skytrigger.__file__).parent


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def card(network: str, units: str) -> ModelCard:
    return ModelCard(network, ("a",), ("x", "y"), (16, 16), (0.0,), (1.0,), units, "h")


def test_found_by_network_and_units() -> None:
    assert registry.application_of("doublets_cnn").name == "doublets"
    assert registry.application_of(card("student", "ADC")).name == "doublets"
    assert registry.application_of(card("student", "rgb8")).name == "eurosat"
    with pytest.raises(InputError, match="'student' on data in furlongs"):
        registry.application_of(card("student", "furlongs"))
    with pytest.raises(InputError, match="no network called 'basicc'"):
        registry.build("basicc", 3, (16, 16), 2)
    assert {"basic", "student", "doublets_small"} <= set(registry.names())


def test_registering() -> None:
    registry.register(TOY)
    registry.register(TOY)  # the same: nothing new
    assert registry.application("toy") is TOY
    with pytest.raises(InputError, match="there is an application 'toy' already"):
        registry.register(replace(TOY, title="another"))
    with pytest.raises(InputError, match="both have a network 'basic'"):
        registry.register(replace(TOY, name="thief", networks={"basic": build}))
    with pytest.raises(InputError, match="no application called 'toys'"):
        registry.application("toys")


@pytest.mark.parametrize(
    ("entry", "words"),
    [("nowhere:TOY", "nowhere"), ("applications.toy:TOYS", "TOYS"), ("applications.toy:SIDE", "is a int")],
)
def test_what_the_environment_names_wrongly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], entry: str, words: str
) -> None:
    monkeypatch.setenv(registry.VARIABLE, entry)
    assert main(["train", "--model", "basic", "--out", "x"]) == 2
    assert words in capsys.readouterr().err


def test_packaged_models_are_found_by_name(tmp_path: Path) -> None:
    assert registry.model_path("eurosat_ms.onnx").is_file()
    assert registry.model_path("doublets").is_file()
    with pytest.raises(InputError, match=r"no run folder or model file 'other\.onnx'\n.*eurosat_ms, "):
        registry.model_path("other.onnx")


def test_an_application_is_added_in_one_place() -> None:
    """Outside its own folder, its command and what is drawn of its data, no module imports a built-in application's."""
    records = {entry.partition(":")[0]: entry for entry in registry.BUILT_IN}
    naming = [
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in records.values()
    ]
    assert naming == ["applications/registry.py"] * len(records)


def test_a_network_is_added_in_one_place() -> None:
    """A name of a network stands once in the table that builds it; help texts and recipes apart, nothing lists it."""
    for name, file in (("1moreconv", "eo/networks.py"), ("doublets_cnn", "hep/doublets/networks.py")):
        naming = {
            source.relative_to(SOURCE).as_posix()
            for source in SOURCE.rglob("*.py")
            for node in ast.walk(ast.parse(source.read_text()))
            if isinstance(node, ast.Constant) and node.value == name
        }
        assert naming - {"hep/doublets/application.py"} == {file}
