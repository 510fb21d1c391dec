"""Small cases worked out by hand, for each preset."""

from __future__ import annotations

import numpy as np
import pytest

from skytrigger.core.errors import InputError
from skytrigger.hep.clue import RULES, Kernel, cluster
from skytrigger.hep.clue.densities import bit_range, plan_fixed_point, round_sums
from skytrigger.hep.clue.rules import (
    exponential,
    flat_factor,
    largest_square,
    neighbour_factors,
    resolve_cuts,
    resolve_rules,
)

BACKENDS = ["reference", "kdtree", "cpu"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_paper(backend: str) -> None:
    x = [0, 1, 2, 3, 10, 13.5, 30]
    found = cluster(x, np.zeros(7), dc=1, rhoc=3, seed_distance=2, outlier_distance=4, backend=backend)
    np.testing.assert_array_equal(found.rho, [2, 3, 3, 2, 1, 1, 1])  # at distance dc counts, and so does the hit
    np.testing.assert_array_equal(found.nearest_higher, [1, 2, -1, 2, 5, -1, -1])  # equal density: higher index
    np.testing.assert_array_equal(found.delta, np.float32([1, 1, np.inf, 1, 3.5, np.inf, np.inf]))
    np.testing.assert_array_equal(found.is_seed, [0, 0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.cluster_id, [0, 0, 0, 0, -1, -1, -1])  # 4 follows outlier 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_at_one_distance(backend: str) -> None:
    found = cluster(
        [0, 1, -1, 0], [0, 0, 0, 1], weight=[1, 2, 2, 2], dc=0.5, rhoc=9, outlier_distance=1, backend=backend
    )
    assert found.nearest_higher[0] == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_seed_with_a_higher_neighbour(backend: str) -> None:
    found = cluster(
        [0, 3, 0.1, 3.1, 3.2], np.zeros(5), dc=1, rhoc=2, seed_distance=2, outlier_distance=4, backend=backend
    )
    np.testing.assert_array_equal(found.is_seed, [0, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.cluster_id, [0, 1, 0, 1, 1])
    assert found.nearest_higher[2] == 1  # found, and further than the seed distance


@pytest.mark.parametrize("backend", BACKENDS)
def test_cmssw(backend: str) -> None:
    weight = [10.0, 4, 2, 1, 30]
    found = cluster(
        [0, 1.0, 2.3, 1.2, 9],
        np.zeros(5),
        weight=weight,
        rules="cmssw",
        noise=[0.5, 0.5, 0.5, 0.5, 11],
        backend=backend,
    )
    # ecut 3 x 0.5 drops the 1 and 3 x 11 drops the 30; distance 1.3 is not < 1.3; neighbours count half
    np.testing.assert_array_equal(found.rho, [12, 9, 2, 0, 0])
    np.testing.assert_array_equal(found.is_seed, [1, 0, 0, 0, 0])  # rhoc 9 x 0.5
    np.testing.assert_array_equal(found.cluster_id, [0, 0, 0, -1, -1])
    assert found.delta[2] == np.float32(2.3) - np.float32(1.0)
    assert found.delta[3] == np.inf
    assert found.nearest_higher[3] == -1


@pytest.mark.parametrize("backend", BACKENDS)
def test_cluestering(backend: str) -> None:
    x = [0, 1, 2, 5, 20, 20]
    found = cluster(
        x, np.zeros(6), weight=[1, 2, 1, 1, 0, 0], dc=1, rhoc=1, seed_distance=4, outlier_distance=3,
        rules="cluestering", backend=backend,
    )  # fmt: skip
    np.testing.assert_array_equal(found.rho, [2, 3, 2, 1, 0, 0])
    np.testing.assert_array_equal(found.nearest_higher, [1, -1, 1, 2, -1, -1])  # within min(3, 4); density 0 never ties
    np.testing.assert_array_equal(found.cluster_id, [0, 0, 0, 0, -1, -1])
    np.testing.assert_array_equal(found.is_seed, [0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_threshold_of_each_hit(backend: str) -> None:
    found = cluster([0, 9], [0, 0], dc=1, rhoc=[0.5, 1.5], backend=backend)
    np.testing.assert_array_equal(found.cluster_id, [0, -1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_around_the_circle(backend: str) -> None:
    phi = [-3.1, 3.1, 0.0]
    found = cluster([0, 0, 0], phi, dc=0.2, rhoc=2, period={"y": 2 * np.pi + 1e-6}, backend=backend)
    np.testing.assert_array_equal(found.rho, [2, 2, 1])
    assert found.delta[0] == pytest.approx(2 * np.pi - 6.2, abs=1e-5)
    np.testing.assert_array_equal(found.cluster_id, [0, 0, -1])
    swapped = cluster(phi, [0, 0, 0], dc=0.2, rhoc=2, period={"x": 2 * np.pi + 1e-6}, backend=backend)
    np.testing.assert_array_equal(swapped.delta, found.delta)


def test_cut_is_on_the_rounded_root() -> None:
    for radius in (1.3, 0.1, 2.6, 1e-20, 3.0, 1e18):
        r = np.float32(radius)
        for strict in (False, True):
            s = largest_square(r, strict=strict)
            above = np.nextafter(s, np.float32(np.inf))
            assert np.sqrt(s) < r if strict else np.sqrt(s) <= r
            assert np.isinf(above) or not (np.sqrt(above) < r if strict else np.sqrt(above) <= r)


def test_exponential() -> None:
    t = np.linspace(0, 79, 20_001, dtype=np.float32)
    np.testing.assert_allclose(exponential(t), np.exp(-t.astype(np.float64)), rtol=2e-7)
    d = np.linspace(0, 2, 100, dtype=np.float32)
    gauss = neighbour_factors(Kernel("gaussian", (0.5, 0.3, 2.0)), d) / 2.0**20
    np.testing.assert_allclose(gauss, 2 * np.exp(-((d.astype(float) - 0.5) ** 2) / (2 * 0.09)), atol=3e-6)


def test_neighbour_factors_are_multiples_of_a_millionth() -> None:
    """Of 2^-20, rounded to the nearest; CLUEstering's formulas."""
    d = np.array([0.0, 0.25, 1.0], np.float32)
    flat = neighbour_factors(Kernel("flat", (0.3,)), d)
    assert (flat.dtype, flat.tolist()) == (np.int64, [round(0.3 * 2**20)] * 3)
    assert flat_factor(Kernel()) == 2**20
    falling = neighbour_factors(Kernel("exponential", (2.0, 0.7)), d)
    np.testing.assert_allclose(falling, 0.7 * np.exp(-2 * d.astype(float)) * 2**20, atol=0.6)
    assert falling.dtype == np.int64
    bell = neighbour_factors(Kernel("gaussian", (0.25, 0.5, 3.0)), d)
    np.testing.assert_allclose(bell, 3 * np.exp(-((d.astype(float) - 0.25) ** 2) / 0.5) * 2**20, atol=1.5)


def test_kernels_at_their_bounds() -> None:
    assert Kernel() == Kernel("flat", (1.0,))
    assert Kernel.parse("gaussian:-1:2:1024").amplitude == 1024.0  # its mean may have any sign
    assert Kernel.parse("exponential:3:0.5").amplitude == 0.5
    for text in ("flat:1025", "gaussian:1:2:1025", "exponential:1:1025", "flat:0", "gaussian:1:0:1", "gaussian:inf:1:1",
                 "exponential:1:0", "flat:1:1", "flat:inf"):  # fmt: skip
        with pytest.raises(InputError):
            Kernel.parse(text)


def test_rules_as_their_sources_state_them() -> None:
    paper, cmssw, clues = (RULES[name] for name in ("paper", "cmssw", "cluestering"))
    assert (paper.strict, paper.narrow, paper.zero_ties, paper.kernel) == (False, False, True, Kernel())
    assert (cmssw.strict, cmssw.narrow, cmssw.zero_ties) == (True, False, True)
    assert (cmssw.dc, cmssw.kappa, cmssw.ecut, cmssw.outlier_factor) == (1.3, 9.0, 3.0, 2.0)
    assert cmssw.kernel == clues.kernel == Kernel("flat", (0.5,))
    assert (clues.strict, clues.narrow, clues.zero_ties, clues.outlier_factor) == (False, True, False, 1.0)
    assert [(r.dc, r.kappa, r.ecut) for r in (paper, clues)] == [(None, None, None)] * 2
    assert paper.outlier_factor == 2.0


def test_cuts_reach_as_far_as_the_larger_of_dc_and_search() -> None:
    for seed, outlier, reach in ((0.5, 0.5, 1.0), (0.5, 3.0, 3.0)):
        cuts = resolve_cuts(RULES["paper"], 1.0, seed, outlier, None)
        assert cuts.reach == reach
        assert (cuts.zero_ties, cuts.kernel, np.sqrt(cuts.density_square)) == (True, Kernel(), 1.0)
    own = resolve_cuts(RULES["cluestering"], 1.0, None, None, "flat:0.25")
    assert (own.zero_ties, own.kernel) == (False, Kernel("flat", (0.25,)))
    assert resolve_rules(RULES["paper"]) is resolve_rules("paper")
    for bad in (1e18, 2e18, np.inf, 0.0, "1", [1.0]):
        with pytest.raises(InputError, match="dc"):
            resolve_cuts(RULES["paper"], bad, None, None, None)
    assert resolve_cuts(RULES["paper"], 0.99e18, 1.0, 1.0, None).dc == np.float32(0.99e18)


def test_limbs_hold_the_weights() -> None:
    rng = np.random.default_rng(0)
    weight = (10.0 ** rng.uniform(-37, 25, 500)).astype(np.float32)
    fixed = plan_fixed_point(*bit_range(weight), 500, Kernel())
    assert fixed.n_limbs > 3
    limbs = [fixed.limb(weight, k) for k in range(fixed.n_limbs)]
    assert all(limb.min() >= 0 and limb.max() < 2**fixed.limb_bits for limb in limbs)
    np.testing.assert_array_equal(round_sums(limbs, fixed), weight)


@pytest.mark.parametrize("name", RULES)
def test_rules_name_their_source(name: str) -> None:
    assert RULES[name].name == name
    assert RULES[name].source


@pytest.mark.parametrize("text", ["flat", "flat:-1", "flat:nan", "box:1", "gaussian:1:2", "exponential:0:1", "flat:x"])
def test_bad_kernels(text: str) -> None:
    with pytest.raises(InputError):
        Kernel.parse(text)
