"""Bit flips: as many as were asked for, and what the codes promise to mend is mended."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.onboard.edac import mend, protect
from skytrigger.onboard.upsets import KINDS, Guard, flip_bits, flip_tiles, flip_weights, weight_bits


def flipped(data: bytes, *bits: int) -> bytes:
    out = bytearray(data)
    for bit in bits:
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def distance(a: bytes, b: bytes) -> int:
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def test_every_single_flip_is_mended_and_every_pair_is_found():
    """All of them: the defining property of a code of distance 4."""
    word = np.random.default_rng(0).bytes(8)
    checks = protect(word)
    whole = word + checks
    for bit in range(72):
        hit = flipped(whole, bit)
        found = mend(hit[:8], hit[8:])
        assert (found.data, found.corrected, found.beyond) == (word, 1, 0)
    for pair in itertools.combinations(range(72), 2):
        hit = flipped(whole, *pair)
        found = mend(hit[:8], hit[8:])
        assert (found.corrected, found.beyond) == (0, 1)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_a_flip_in_each_word_is_mended(data, draw):
    checks = protect(data)
    assert mend(data, checks).data == data
    words = -(-len(data) // 8)
    at = [draw.draw(st.integers(64 * w, min(64 * w + 63, 8 * len(data) - 1))) for w in range(words)]
    found = mend(flipped(data, *at), checks)
    assert (found.data, found.corrected, found.beyond) == (data, words, 0)


def test_checks_of_other_data_are_refused():
    with pytest.raises(InputError, match="check bytes"):
        mend(bytes(16), bytes(3))


@given(st.binary(min_size=1, max_size=100), st.integers(0, 2**32), st.data())
def test_as_many_bits_as_asked_are_flipped(data, seed, draw):
    count = draw.draw(st.integers(0, 8 * len(data)))
    assert distance(flip_bits(data, count, np.random.default_rng(seed)), data) == count


def test_more_flips_than_bits_are_refused():
    with pytest.raises(InputError, match="every bit"):
        flip_bits(b"a", 9, np.random.default_rng(0))


def test_tiles_are_hit_at_the_rate_that_is_asked():
    tiles = np.zeros((40, 13, 16, 16), np.uint16)
    hit = np.bitwise_count(flip_tiles(tiles, 500, seed=3)).sum()
    expected = 500 * 8 * tiles.nbytes / 1e6
    assert abs(hit - expected) < 5 * expected**0.5
    assert not np.array_equal(flip_tiles(tiles, 500, 3), flip_tiles(tiles, 500, 4))
    assert np.array_equal(flip_tiles(tiles, 500, 3), flip_tiles(tiles, 500, 3))


@pytest.fixture(scope="module")
def model():
    from skytrigger.eo.packaged import packaged
    from skytrigger.model.file import read_model

    return read_model(packaged("eurosat_ms"))


def tensors(model) -> dict[str, bytes]:
    return {t.name: t.raw_data for t in model.graph().graph.initializer}


@pytest.mark.parametrize("kinds", [(), ("int8 weights",), ("float32 scales", "int32 biases")])
def test_weights_are_hit_only_where_they_may(model, kinds):
    hit = flip_weights(model, 1, flips=50, kinds=kinds)
    before, after = tensors(model), tensors(hit)
    assert sum(distance(before[n], after[n]) for n in before) == 50
    types = {t.name: t.data_type for t in model.graph().graph.initializer}
    allowed = kinds or tuple(KINDS.values())
    assert all(before[n] == after[n] for n in before if KINDS.get(types[n]) not in allowed)
    assert hit.sha256 != model.sha256
    assert sum(weight_bits(model).values()) < 8 * len(model.content)


def test_the_guard_finds_and_mends_every_hit_tensor(model):
    guard = Guard.of(model)
    assert guard.damaged(model) == []
    hit = flip_weights(model, 7, per_mbit=200)
    before, after = tensors(model), tensors(hit)
    assert guard.damaged(hit) == [n for n, _, _ in guard.checks if before[n] != after[n]]
    mended, names, beyond = guard.mend(hit, model)
    assert names == guard.damaged(hit)
    assert beyond == []
    assert tensors(mended) == before


def test_a_golden_copy_that_is_hit_itself_is_not_believed(model):
    guard = Guard.of(model)
    hit = flip_weights(model, 7, per_mbit=200)
    mended, names, beyond = guard.mend(hit, hit)
    assert names == []
    assert beyond == guard.damaged(hit)
    assert mended is hit


def test_a_guard_of_another_model_says_so(model):
    from skytrigger.eo.packaged import packaged
    from skytrigger.model.file import read_model

    with pytest.raises(InputError, match="another model"):
        Guard.of(read_model(packaged("eurosat_rgb"))).damaged(model)
