"""Specs: presets, and mistakes named with their line."""

from __future__ import annotations

import json

import pytest

from skytrigger.core.errors import InputError
from skytrigger.onboard.spec_file import check_classes, line_of, load_spec, parse

CLASSES = ("River", "Forest")


@pytest.mark.parametrize("name", ["sentinel2", "cubesat"])
def test_presets_are_whole(name):
    spec = load_spec(name)
    assert spec.name == name
    assert sum(spec.stream.classes.values()) == pytest.approx(1)
    assert spec.policy.chosen in spec.policy.compare


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[mission]\nhours = 1.0\nmemory = 5\n", 3, "unknown entry 'memory'"),
        ("# a mission\n[mission]\n\nmask_deg = 100\n", 4, "mask_deg = 100"),
        ("[mission]\nhours = 'one'\n", 2, "a number"),
        ("[mission]\nstations = ['Matera',\n 'Atlantis']\n", 2, "Atlantis"),
        ("[stream.classes]\nRiver = 0.5\nForest = 0.4\n", 1, "add up to 0.9"),
        ("[stream]\nwindow = [16]\n", 2, "[rows, columns]"),
        ("[stream]\nwindow = [99, 20]\n", 2, "at most"),
        ("[value.classes]\nRiver = 1\nForest = -2\n", 3, "Forest = -2"),
        ("[value]\nquota = { River = 2.0 }\n", 2, "0 to 1"),
        ("[[fault]]\nkind = 'reset'\nat_s = 5\n[[fault]]\nkind = 'flood'\n", 5, "flood"),
        ("[[fault]]\nkind = 'missed_pass'\n", 1, "contact"),
        ("[policy]\npasses_known = 1\n", 2, "true or false"),
        ("seed = 1.5\n", 1, "whole number"),
        ("mission = 5\n", 1, "a table"),
        ("[[value.area]]\nfactor = 2\n", 1, "geojson"),
        ("[mission]\nstart = 'today'\n", 2, "a time"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, line, word):
    with pytest.raises(InputError) as caught:
        parse(text, "my.toml")
    assert f"my.toml, line {line}:" in str(caught.value)
    assert word in str(caught.value)


def test_toml_itself_is_named_with_its_line():
    with pytest.raises(InputError, match="line 2"):
        parse("[mission]\nhours = = 3\n", "my.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[stream.classes]\nRiver = 0.5\nSwamp = 0.5\n", 3),
        ("[value]\ntargets = ['River', 'Swamp']\n", 2),
        ("[[value.alert]]\nof = 'River'\n[[value.alert]]\nof = 'Swamp'\n", 4),
        ("[value.deadline_s]\nSwamp = 5\n", 2),
    ],
)
def test_classes_that_the_model_lacks_are_named(text, line):
    with pytest.raises(InputError, match=f"line {line}: no class called 'Swamp'"):
        check_classes(parse(text), CLASSES)


def test_line_of_dotted_and_quoted_keys():
    text = 'a.b = 1\n[c]\n"d e" = 2\n[[f]]\ng = 1\n[[f]]\ng = 2\n'
    assert [line_of(text, p) for p in (("a", "b"), ("c", "d e"), ("f", 1, "g"), ("f", 0), ("z",))] == [1, 3, 7, 4, 1]


def test_no_such_preset_or_file(tmp_path):
    with pytest.raises(InputError, match="sentinel2"):
        load_spec("landsat")
    with pytest.raises(InputError, match="cannot read"):
        load_spec(tmp_path / "none.toml")


def test_areas_against_matplotlibs_paths(tmp_path):
    import numpy as np
    from matplotlib.path import Path as Outline

    from skytrigger.onboard.area import inside, read_areas

    rng = np.random.default_rng(3)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    ring = np.c_[10 + 5 * np.cos(angle) * rng.uniform(0.4, 1, 9), 45 + 5 * np.sin(angle) * rng.uniform(0.4, 1, 9)]
    ring = np.vstack([ring, ring[:1]])
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]}}))
    points = rng.uniform([4, 39], [16, 51], (2000, 2))
    found = inside(read_areas(path), points[:, 0], points[:, 1])
    assert found.tolist() == Outline(ring).contains_points(points).tolist()
    assert 0 < found.sum() < 2000


def test_a_hole_is_outside(tmp_path):
    from skytrigger.onboard.area import inside, read_areas

    square = lambda a, b: [[a, a], [b, a], [b, b], [a, b], [a, a]]  # noqa: E731
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [square(0, 10), square(4, 6)]}))
    import numpy as np

    assert inside(read_areas(path), np.array([1.0, 5.0]), np.array([1.0, 5.0])).tolist() == [True, False]


@pytest.mark.parametrize(
    "content", ['{"type": "Point", "coordinates": [1, 2]}', '{"type": "Sphere"}', "[1]", "nothing"]
)
def test_what_is_no_area_is_refused(tmp_path, content):
    from skytrigger.onboard.area import read_areas

    path = tmp_path / "area.geojson"
    path.write_text(content)
    with pytest.raises(InputError):
        read_areas(path)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "9" * 5000,
        "a = " + "[" * 50_000,
        '"\\ud800" = 1',
        "[mission]\nalong_m = inf",
        "[mission]\nswath_m = 1" + "0" * 400,
        "[power]\nbattery_J = inf",
    ],
    ids=lambda text: text[:20],
)
def test_numbers_and_nesting_without_end(text):
    with pytest.raises(InputError, match=r"TOML|without end"):
        parse(text)
