"""Codecs of the tiers: nothing is lost where that is promised, and little where it is bounded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.errors import InputError
from skytrigger.onboard.codecs import (
    CCSDS121,
    TIERS,
    WITH_PIXELS,
    Alert,
    decode,
    decode_alert,
    decode_bands,
    encode,
    encode_alert,
)

pytest.importorskip("imagecodecs")
HEAD = 2 + 9  # bytes before the first codestream


def bands_of(seed: int, shapes: list[tuple[int, int]], kind: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    makers = {
        "noise": lambda s: rng.integers(0, 65536, s),
        "smooth": lambda s: 1500 + np.add.outer(np.arange(s[0]), np.arange(s[1])) * 3 + rng.normal(0, 4, s),
        "constant": lambda s: np.full(s, rng.integers(0, 65536)),
    }
    return [np.clip(makers[kind](s), 0, 65535).astype(np.uint16) for s in shapes]


SHAPES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4)
CODECS = [("lossless", None), ("lossless", CCSDS121), ("backlog", None)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), SHAPES, st.sampled_from(["noise", "smooth", "constant"]), st.sampled_from(CODECS))
def test_every_bit_comes_back_at_every_resolution(seed, shapes, kind, codec):
    bands = bands_of(seed, shapes, kind)
    back = decode_bands(encode(bands, codec[0], codec=codec[1]))
    assert len(back) == len(bands)
    assert all(np.array_equal(a, b) and a.dtype == np.uint16 for a, b in zip(bands, back, strict=True))


def test_gdal_reads_our_jpeg_2000():
    rasterio = pytest.importorskip("rasterio")
    tile = np.stack(bands_of(3, [(64, 64)] * 13, "smooth"))
    with rasterio.MemoryFile(encode(tile, "lossless")[HEAD:]) as file, file.open(driver="JP2OpenJPEG") as opened:
        assert np.array_equal(opened.read(), tile)


def test_ccsds_121_takes_little_for_what_its_predictor_knows():
    # CCSDS 121.0-B-3, 3.5: blocks of zeros after prediction are coded in runs, a few bits for thousands of samples
    flat = np.full((13, 64, 64), 1234, np.uint16)
    assert len(encode(flat, "lossless", codec=CCSDS121)) < 0.02 * flat.nbytes


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("psnr_db", [45, 60, 75])
def test_lossy_keeps_its_quality(psnr_db, weighted):
    tile = np.stack(bands_of(5, [(64, 64)] * 6, "smooth"))
    noise = np.linspace(500, 4000, 6) if weighted else None
    payload = encode(tile, "lossy", psnr_db=psnr_db, noise_dn=noise)
    error = (decode(payload).astype(float) - tile) * (2000 / noise[:, None, None] if weighted else 1)
    reached = 10 * math.log10(65535**2 / max(1e-9, float((error**2).mean())))
    assert reached > psnr_db - 1.5
    assert len(payload) < len(encode(tile, "lossless"))


def test_worse_is_smaller_and_faint_bands_are_kept_by_weights():
    rng = np.random.default_rng(0)
    tile = np.stack([rng.normal(1500, 400, (64, 64)), rng.normal(12, 4, (64, 64)).clip(1)]).round().astype(np.uint16)
    sizes = [len(encode(tile, "lossy", psnr_db=q)) for q in (40, 50, 60, 70)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]

    def left(noise):
        back = decode(encode(tile, "lossy", psnr_db=50, noise_dn=noise))
        return np.corrcoef(back[1].ravel(), tile[1].ravel())[0, 1] if back[1].std() else 0.0

    assert left([400, 4]) > 0.8 > left(None)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(30, 70))
def test_pixels_without_data_stay_so_and_others_never_become_so(seed, psnr_db):
    tile = np.stack(bands_of(seed, [(32, 32)] * 2, "smooth"))
    tile[:, np.random.default_rng(seed).random((32, 32)) < 0.3] = 0
    tile[1, 0, :5] = 1
    assert np.array_equal(decode(encode(tile, "lossy", psnr_db=psnr_db)) == 0, tile == 0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WITH_PIXELS), st.integers(0, 2**32), st.integers(0, 10**6))
def test_a_damaged_payload_is_refused_or_a_tile(tier, seed, cut):
    payload = bytearray(encode(bands_of(seed, [(9, 8), (9, 8), (4, 4)], "smooth"), tier))
    if cut % 2:
        payload = payload[: cut % len(payload)]
    else:
        payload[cut % len(payload)] ^= 1 << seed % 8
    try:
        bands = decode_bands(bytes(payload))
    except InputError:
        return
    assert all(b.dtype == np.uint16 and b.ndim == 2 for b in bands)


@pytest.mark.parametrize("tier", ["lossless", "lossy"])
def test_no_flip_in_a_header_makes_the_decoder_ask_for_memory(tier):
    """Every bit of the first 200 bytes, which state sizes, layers and precincts, in a process of little memory."""
    import resource

    payload = encode(np.stack(bands_of(1, [(16, 16)] * 3, "smooth")), tier)
    decode(payload)  # what is loaded at first use is loaded
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + (256 << 20), before[1]))
    try:
        for bit in range(8 * min(200, len(payload))):
            hit = bytearray(payload)
            hit[bit // 8] ^= 1 << bit % 8
            try:
                assert sum(b.size for b in decode_bands(bytes(hit))) <= 1 << 24
            except InputError:
                continue
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("tile", "tier", "words"),
    [
        (np.zeros((1, 4, 4), np.uint16), "best", "alert, class"),
        (np.zeros((1, 4, 4), np.float32), "lossless", "uint16"),
        (np.zeros((4, 4), np.uint16), "lossless", "uint16"),
        (np.zeros((0, 4, 4), np.uint16), "lossless", "0 bands"),
    ],
)
def test_bad_input_is_named(tile, tier, words):
    with pytest.raises(InputError, match=words):
        encode(tile, tier)
    with pytest.raises(InputError, match="one a band"):
        encode(np.ones((2, 4, 4), np.uint16), "lossy", noise_dn=[1, 0])
    with pytest.raises(InputError, match="several resolutions"):
        decode(encode([np.ones((4, 4), np.uint16), np.ones((2, 2), np.uint16)], "lossless"))


def test_tiers_without_pixels_have_no_payload():
    tile = np.ones((1, 4, 4), np.uint16)
    assert [t for t in TIERS if not encode(tile, t)] == ["alert", "class"]


@settings(max_examples=40, deadline=None)
@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0, 6553), st.text(max_size=120))
def test_an_alert_says_where_to_a_centimetre(lon, lat, side, what):
    try:
        what.encode()
    except UnicodeEncodeError:
        return
    back = decode_alert(encode_alert(Alert(lon, lat, side, what)))
    assert abs(back.longitude_deg - lon) <= 6e-8
    assert abs(back.latitude_deg - lat) <= 6e-8
    assert abs(back.side_m - side) <= 0.0501
    assert what.startswith(back.what)
    assert back.what == what or len(what.encode()) > 250
    with pytest.raises(InputError):
        decode_alert(encode_alert(Alert(lon, lat, side, what))[:-1] or b"")
