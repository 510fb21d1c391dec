"""Cards that somebody writes: every entry read, and refused where it is missing, unknown or contradicts another."""

from __future__ import annotations

from pathlib import Path

import pytest

from skytrigger.core.errors import InputError
from skytrigger.model.card_file import Statement, read_card

WHOLE = {
    "name": '"mine"', "channels": '["r", "g"]', "classes": '["a", "b", "c"]', "size": "[16, 24]", "units": '"DN"',
    "mean": "[1, 2.5]", "std": "[3, 4]", "layout": '"nhwc"', "normalise": "true", "outputs": '"probabilities"',
    "application": '"doublets"',
}  # fmt: skip
LEAST = ("channels", "classes", "size", "units")


def written(folder: Path, **entries: str) -> Path:
    path = folder / "card.toml"
    path.write_text("".join(f"{name} = {value}\n" for name, value in entries.items()))
    return path


def test_every_entry_is_read(tmp_path: Path) -> None:
    found = read_card(str(written(tmp_path, **WHOLE)))
    card = found.card
    assert (found.layout, found.normalise, found.outputs) == ("nhwc", True, "probabilities")
    assert (card.name, card.channels, card.classes, card.size) == ("mine", ("r", "g"), ("a", "b", "c"), (16, 24))
    assert (card.mean, card.std, card.units, card.data_hash) == ((1.0, 2.5), (3.0, 4.0), "DN", "")
    assert card.notes == {"application": "doublets"}


def test_what_need_not_be_said(tmp_path: Path) -> None:
    found = read_card(written(tmp_path, **{name: WHOLE[name] for name in LEAST}))
    assert found == Statement(found.card, "", False, "logits") == Statement(found.card)
    card = found.card
    assert (card.name, card.mean, card.std, card.notes) == (
        "adopted", (0.0, 0.0), (1.0, 1.0), {"application": "eurosat"},
    )  # fmt: skip


@pytest.mark.parametrize("name", LEAST)
def test_a_missing_entry_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"card\.toml has no entry '{name}'"):
        read_card(written(tmp_path, **{k: v for k, v in WHOLE.items() if k != name}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": "1", "zoom": "2"}, "has the entry 'weights'"),
        ({"outputs": '"scores"'}, "outputs 'scores'"),
        ({"layout": '"hwc"'}, "layout 'hwc'"),
        ({"size": "[16]"}, "not a valid card"),
        ({"size": "3"}, "not a valid card"),
        ({"mean": '["x", "y"]'}, "not a valid card"),
        ({"std": "[1]"}, "not a valid card"),
        ({"classes": "[]"}, "not a valid card"),
    ],
)
def test_entries_that_are_none(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_card(written(tmp_path, **{**WHOLE, **change}))
    assert "card.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_normalising_needs_both_figures(tmp_path: Path, name: str) -> None:
    entries = {k: v for k, v in WHOLE.items() if k != name}
    with pytest.raises(InputError, match="mean and std"):
        read_card(written(tmp_path, **entries))
    assert read_card(written(tmp_path, **{**entries, "normalise": "false"})).normalise is False


def test_what_is_no_toml(tmp_path: Path) -> None:
    path = written(tmp_path, name="[")
    with pytest.raises(InputError, match=r"card\.toml is no TOML"):
        read_card(path)
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(InputError, match=r"card\.toml is no TOML"):
        read_card(path)
    with pytest.raises(InputError, match=r"cannot read .*none\.toml: No such file"):
        read_card(tmp_path / "none.toml")
