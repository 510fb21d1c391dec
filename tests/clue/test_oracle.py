"""Rules and cuts against numbers that do not come from the product."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import RULES, Kernel, cluster
from skytrigger.hep.clue.rules import resolve_cuts

from .oracle import clue, lattice_case


@pytest.mark.parametrize("backend", ["reference", "kdtree", "cpu"])
def test_as_the_papers_write_it(backend: str) -> None:
    seen = set()
    for seed in range(400):
        case = lattice_case(seed)
        expected, found = clue(case), cluster(**case, backend=backend)
        np.testing.assert_array_equal(found.rho, np.float32(expected["rho"]), err_msg=str(seed))
        np.testing.assert_array_equal(found.nearest_higher, expected["higher"], err_msg=str(seed))
        np.testing.assert_allclose(found.delta, np.sqrt(expected["square"]), rtol=1e-6, err_msg=str(seed))
        np.testing.assert_array_equal(found.is_seed, expected["seed"], err_msg=str(seed))
        np.testing.assert_array_equal(found.cluster_id, expected["cluster"], err_msg=str(seed))
        seen.add((case["rules"], "seed_distance" in case, "outlier_distance" in case, found.n_clusters > 1))
    assert len(seen) == 24


def test_the_narrow_rule_takes_the_smaller_distance() -> None:
    """Two seeds 3.5 apart, seed distance 4, outlier distance 3: within the larger one would follow the other."""
    options = {"dc": 1.0, "rhoc": 1.0, "seed_distance": 4.0, "outlier_distance": 3.0}
    narrow = cluster([0.0, 3.5], [0.0, 0.0], weight=[1.0, 2.0], rules="cluestering", **options)
    wide = cluster([0.0, 3.5], [0.0, 0.0], weight=[1.0, 2.0], rules="paper", **options)
    assert narrow.n_clusters == 2
    assert narrow.nearest_higher[0] == -1
    assert wide.n_clusters == 1
    assert wide.delta[0] == 3.5


@pytest.mark.parametrize(
    ("name", "strict", "factor", "narrow", "zero_ties", "outlier", "dc", "kappa", "ecut"),
    [
        ("paper", False, 1.0, False, True, 2.0, None, None, None),
        ("cmssw", True, 0.5, False, True, 2.0, 1.3, 9.0, 3.0),
        ("cluestering", False, 0.5, True, False, 1.0, None, None, None),
    ],
)
def test_presets(
    name: str, strict: bool, factor: float, narrow: bool, zero_ties: bool, outlier: float, dc: float | None,
    kappa: float | None, ecut: float | None,
) -> None:  # fmt: skip
    """What the sources say, written down a second time."""
    rules = RULES[name]
    assert (rules.strict, rules.narrow, rules.zero_ties) == (strict, narrow, zero_ties)
    assert (rules.kernel, rules.outlier_factor) == (Kernel("flat", (factor,)), outlier)
    assert (rules.dc, rules.kappa, rules.ecut) == (dc, kappa, ecut)


@pytest.mark.parametrize(
    ("name", "given", "search", "seed", "outlier"),
    [
        ("paper", (1.5, None, None), 3.0, 1.5, 3.0),
        ("paper", (1.0, 5.0, 2.0), 5.0, 5.0, 2.0),
        ("paper", (1.0, 0.5, 0.25), 0.5, 0.5, 0.25),
        ("cmssw", (None, None, None), 2.6, 1.3, 2.6),
        ("cluestering", (1.5, None, None), 1.5, 1.5, 1.5),
        ("cluestering", (1.0, 4.0, 3.0), 3.0, 3.0, 3.0),
        ("cluestering", (1.0, 3.0, 4.0), 3.0, 3.0, 3.0),
    ],
)
def test_cuts(name: str, given: tuple[float | None, ...], search: float, seed: float, outlier: float) -> None:
    cuts = resolve_cuts(RULES[name], *given, None)
    dc = 1.3 if given[0] is None else given[0]
    assert (cuts.search, cuts.seed_distance, cuts.outlier_distance) == tuple(map(np.float32, (search, seed, outlier)))
    assert cuts.dc == np.float32(dc)
    assert cuts.reach == max(cuts.dc, cuts.search)
    root = math.sqrt(float(cuts.density_square))
    assert root == pytest.approx(dc, rel=3e-7)


def test_kernels_have_their_limits() -> None:
    assert Kernel("flat", (1024.0,)).amplitude == 1024
    for kind, parameters in (("flat", (1025.0,)), ("exponential", (1.0, 1025.0)), ("gaussian", (0.0, 1.0, 1025.0))):
        with pytest.raises(InputError, match="at most 1024"):
            Kernel(kind, parameters)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="with 2 parameters"):
        Kernel("flat", (1.0, 2.0))
    assert Kernel.parse("gaussian:-1:2:3") == Kernel("gaussian", (-1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="finite and positive"):
        Kernel("gaussian", (0.0, -1.0, 1.0))


@pytest.mark.parametrize("value", [0.0, 1e18, math.inf, math.nan, -1.0])
def test_distances_have_their_limits(value: float) -> None:
    with pytest.raises(InputError, match="seed_distance"):
        resolve_cuts(RULES["paper"], 1.0, value, None, None)
    assert resolve_cuts(RULES["paper"], 1.0, 9e17, None, None).search == np.float32(9e17)


def test_noise_sets_the_cuts_of_cmssw() -> None:
    """rhoc = 9 sigma, energies from 3 sigma on, also exactly there; one sigma for all, or one a hit."""
    x = [0.0, 10.0, 20.0, 30.0]
    found = cluster(x, np.zeros(4), weight=[9.0, 8.999, 3.0, 2.999], rules="cmssw")
    np.testing.assert_array_equal(found.is_seed, [1, 0, 0, 0])
    np.testing.assert_array_equal(found.rho, np.float32([9.0, 8.999, 3.0, 0.0]))
    each = cluster(x, np.zeros(4), weight=[9.0, 8.999, 3.0, 2.999], rules="cmssw", noise=[1.0, 0.5, 1 / 3, 1.0])
    np.testing.assert_array_equal(each.is_seed, [1, 1, 1, 0])
    other = cluster(x, np.zeros(4), weight=[9.0, 8.999, 3.0, 2.999], rules="cmssw", kappa=3.0, ecut=2.0)
    np.testing.assert_array_equal(other.is_seed, [1, 1, 1, 0])
    assert other.rho[3] == np.float32(2.999)
