"""What a tile costs: real codecs for each tier of data, from nothing but its class to every bit of it.

========== ===================================================== ================================
tier       what is sent                                          how
========== ===================================================== ================================
alert      a place, a class, a time: enough to act on            11 bytes and a word
class      class and confidence                                  2 bytes a tile, in the packet
lossless   every bit                                             JPEG 2000, reversible 5/3 wavelet
lossy      neighbours and background                             JPEG 2000, 9/7 wavelet, PSNR
backlog    the raw samples, for a pass with room                 16 bits a sample
========== ===================================================== ================================

CCSDS 121.0-B-3, the Rice coder of many missions, is there by libaec as another lossless codec;
benchmarks/onboard_codecs.py
measures both (results/onboard/codecs.json).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.onboard.codestream import check_codestream

TIERS = ("alert", "class", "lossless", "lossy", "backlog")
WITH_PIXELS = TIERS[2:]
RAW, JPEG2000, JPEG2000_LOSSY, CCSDS121 = range(4)
CODEC_NAMES = ("raw", "JPEG 2000 lossless", "JPEG 2000 lossy", "CCSDS 121")
_CODEC_OF_TIER = {"lossless": JPEG2000, "lossy": JPEG2000_LOSSY, "backlog": RAW}
LOSSY_PSNR_DB = 62.0
_LARGEST_SIDE, _MOST_BANDS, _MOST_SAMPLES = 4096, 255, 1 << 24
# a block of 64 samples, 64 blocks between references: the largest that CCSDS 121.0-B-3, 5.1.4 allows to compress best
_AEC_BLOCK, _AEC_RSI = 64, 64
Samples = NDArray[np.uint16]
Bands = Sequence[Samples]


def encode(
    tile: Samples | Bands,
    tier: str,
    *,
    psnr_db: float = LOSSY_PSNR_DB,
    noise_dn: Sequence[float] | None = None,
    codec: int | None = None,
) -> bytes:
    """A tile as it is stored and sent in a tier.

    Parameters
    ----------
    tile
        (bands, h, w) uint16 DN, or a sequence of (h, w) bands, each at its own resolution.
    tier
        One of `TIERS`; ``alert`` and ``class`` have no pixels: their payload is empty here (`encode_alert` makes an
        alert's, the packet itself holds the class).
    psnr_db
        Lossy: peak signal to noise of the whole tile against 16 bits' full scale, dB. Less is smaller and worse.
    noise_dn
        Lossy: the error that weighs the same in each band, DN; by default 1 for all. With each band's standard
        deviation faint bands (B10) are kept as well as bright ones: relative, scaled to 2,000 at full contrast.
    codec
        Another codec than the tier's: `CCSDS121` for the tier ``lossless``.

    Returns
    -------
    bytes
        Complete in itself: `decode` needs nothing else.

    Raises
    ------
    InputError
        No such tier, no uint16, no image.
    UnavailableError
        imagecodecs is not installed.
    """
    if tier not in TIERS:
        raise InputError(f"tier {tier!r}", expected=", ".join(TIERS))
    bands = _checked(tile)
    if tier not in WITH_PIXELS:
        return b""
    codec = _CODEC_OF_TIER[tier] if codec is None else codec
    if codec not in range(len(CODEC_NAMES)) or (codec == JPEG2000_LOSSY) != (tier == "lossy"):
        raise InputError(f"codec {codec} for the tier {tier}", expected="lossless codecs for lossless data")
    noise = np.ones(len(bands)) if noise_dn is None else np.asarray(noise_dn, np.float64)
    if noise.shape != (len(bands),) or not np.all(np.isfinite(noise) & (noise > 0)):
        raise InputError(f"noise_dn of shape {noise.shape}", expected=f"{len(bands)} figures over zero, one a band")
    parts = [bytes([codec, 0])]
    groups = _groups(bands)
    for first, group in groups:
        relative = noise[first : first + len(group)]
        body = _ENCODERS[codec](group, psnr_db, relative)
        parts.append(struct.pack(">BHHI", len(group), *group.shape[1:], len(body)) + body)
    parts[0] = bytes([codec, len(groups)])
    return b"".join(parts)


def decode(payload: bytes) -> Samples:
    """The tile (bands, h, w) of a payload whose bands have one resolution.

    Raises
    ------
    InputError
        Damaged, or bands of several resolutions (`decode_bands` gives those).
    """
    bands = decode_bands(payload)
    if len({b.shape for b in bands}) != 1:
        raise InputError("bands of several resolutions", remedy="decode_bands gives them one by one")
    return np.stack(bands)


def decode_bands(payload: bytes) -> list[Samples]:
    """Every band of a payload, each at its own resolution, in the order in which they were given.

    Raises
    ------
    InputError
        Not such a payload, or damaged.
    """
    if len(payload) < 2 or payload[0] >= len(CODEC_NAMES) or not payload[1]:
        raise InputError(f"a payload of {len(payload)} bytes is no tile", expected="what `encode` gave")
    at, bands = 2, list[Samples]()
    for _ in range(payload[1]):
        head = payload[at : at + 9]
        if len(head) < 9:
            raise InputError("a tile's payload ends in a header")
        count, height, width, size = struct.unpack(">BHHI", head)
        body = payload[at + 9 : at + 9 + size]
        if len(body) < size or not 0 < count * height * width <= _MOST_SAMPLES or max(height, width) > _LARGEST_SIDE:
            raise InputError(f"a tile's payload states {count} bands of {height} x {width} in {size} bytes")
        bands += list(_decoded(payload[0], body, (count, height, width)))
        at += 9 + size
    if at != len(payload):
        raise InputError(f"{len(payload) - at} bytes after a tile's end")
    return bands


def _checked(tile: Samples | Bands) -> list[Samples]:
    bands = [np.asarray(b) for b in tile]
    if not bands or len(bands) > _MOST_BANDS:
        raise InputError(f"a tile of {len(bands)} bands", expected=f"1 to {_MOST_BANDS}")
    for band in bands:
        if band.ndim != 2 or band.dtype != np.uint16 or not all(0 < n <= _LARGEST_SIDE for n in band.shape):
            raise InputError(
                f"a band of shape {band.shape}, {band.dtype}",
                expected="(height, width) uint16 DN",
            )
    if sum(b.size for b in bands) > _MOST_SAMPLES:
        raise InputError(f"a tile of {sum(b.size for b in bands)} samples", expected=f"at most {_MOST_SAMPLES}")
    return bands


def _groups(bands: list[Samples]) -> list[tuple[int, Samples]]:
    """Neighbouring bands of one shape as one image each, with the index of its first."""
    found: list[tuple[int, Samples]] = []
    start = 0
    for i in range(1, len(bands) + 1):
        if i == len(bands) or bands[i].shape != bands[start].shape:
            found.append((start, np.ascontiguousarray(np.stack(bands[start:i]))))
            start = i
    return found


def _decoded(codec: int, body: bytes, shape: tuple[int, int, int]) -> Samples:
    try:
        found = _DECODERS[codec](body, shape)
    except InputError:
        raise
    except (RuntimeError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{CODEC_NAMES[codec]} of {len(body)} bytes cannot be decoded: {error}") from error
    if found.shape != shape or found.dtype != np.uint16:
        raise InputError(f"{CODEC_NAMES[codec]} holds {found.shape}, {found.dtype}", expected=f"{shape}, uint16")
    return found


def _imagecodecs() -> Any:
    return require("imagecodecs", why="JPEG 2000 and CCSDS 121")


def _raw(group: Samples, psnr_db: float, noise: NDArray[np.float64]) -> bytes:
    return group.astype(">u2").tobytes()


def _from_raw(body: bytes, shape: tuple[int, int, int]) -> Samples:
    return np.frombuffer(body, ">u2").reshape(shape).astype(np.uint16)


def _jpeg2000(group: Samples, psnr_db: float, noise: NDArray[np.float64]) -> bytes:
    stream: bytes = _imagecodecs().jpeg2k_encode(
        group, codecformat="j2k", reversible=True, level=0, planar=True, mct=False, numthreads=1
    )
    return stream


def _from_jpeg2000(body: bytes, shape: tuple[int, int, int]) -> Samples:
    check_codestream(body, shape)
    found: Samples = _imagecodecs().jpeg2k_decode(body, planar=shape[0] > 1, numthreads=1)
    return found.reshape(shape) if found.size == np.prod(shape) else found


_FULL_CONTRAST = 2000.0


def _lossy(group: Samples, psnr_db: float, noise: NDArray[np.float64]) -> bytes:
    """Gains (float32 a band), the mask of pixels without data (DN 0; zlib; nothing where all have), the codestream."""
    gains = np.ones(len(group), np.float32)
    if np.ptp(noise):
        gains = (_FULL_CONTRAST / noise).astype(np.float32)
    scaled = np.clip(np.rint(group * gains[:, None, None].astype(np.float64)), 0, 65535).astype(np.uint16)
    stream = _imagecodecs().jpeg2k_encode(
        scaled, codecformat="j2k", reversible=False, level=psnr_db, planar=True, mct=False, numthreads=1
    )
    empty = group == 0
    mask = zlib.compress(np.packbits(empty).tobytes(), 9) if empty.any() else b""
    return gains.astype(">f4").tobytes() + struct.pack(">I", len(mask)) + mask + bytes(stream)


def _from_lossy(body: bytes, shape: tuple[int, int, int]) -> Samples:
    count = shape[0]
    gains = np.frombuffer(body[: 4 * count], ">f4").astype(np.float64)
    (size,) = struct.unpack(">I", body[4 * count : 4 * count + 4])
    at = 4 * count + 4
    mask, stream = body[at : at + size], body[at + size :]
    scaled = _from_jpeg2000(stream, shape)
    if gains.shape != (count,) or scaled.shape != shape or not np.all(gains > 0):
        raise InputError(f"lossy tile of shape {scaled.shape}", expected=f"{shape}")
    # a dark pixel with data must not come out as one without
    found = np.clip(np.rint(scaled / gains[:, None, None]), 1, 65535).astype(np.uint16)
    if mask:
        pixels = found.size
        packed = zlib.decompressobj().decompress(mask, (pixels + 7) // 8)
        empty = np.unpackbits(np.frombuffer(packed, np.uint8), count=pixels).astype(bool)
        found[empty.reshape(shape)] = 0
    return found


def _ccsds121(group: Samples, psnr_db: float, noise: NDArray[np.float64]) -> bytes:
    """All bands in a row, filled up to whole blocks: the standard's unit-delay predictor, 16 bits a sample."""
    codecs = _imagecodecs()
    flat = np.pad(group.reshape(-1), (0, -group.size % _AEC_BLOCK), mode="edge")
    stream: bytes = codecs.aec_encode(
        flat, bitspersample=16, flags=int(codecs.AEC.FLAG.DATA_PREPROCESS), blocksize=_AEC_BLOCK,
        rsi=_AEC_RSI,
    )  # fmt: skip
    return stream


def _from_ccsds121(body: bytes, shape: tuple[int, int, int]) -> Samples:
    codecs = _imagecodecs()
    size = int(np.prod(shape))
    out = np.empty(size + -size % _AEC_BLOCK, np.uint16)
    codecs.aec_decode(
        body, bitspersample=16, flags=int(codecs.AEC.FLAG.DATA_PREPROCESS), blocksize=_AEC_BLOCK, rsi=_AEC_RSI, out=out
    )
    return out[:size].reshape(shape)


_ENCODERS: dict[int, Callable[[Samples, float, NDArray[np.float64]], bytes]] = {
    RAW: _raw, JPEG2000: _jpeg2000, JPEG2000_LOSSY: _lossy, CCSDS121: _ccsds121,
}  # fmt: skip
_DECODERS: dict[int, Callable[[bytes, tuple[int, int, int]], Samples]] = {
    RAW: _from_raw, JPEG2000: _from_jpeg2000, JPEG2000_LOSSY: _from_lossy, CCSDS121: _from_ccsds121,
}  # fmt: skip


@dataclass(frozen=True)
class Alert:
    """Enough to act on without any other packet: degrees (WGS 84), metres a side, a word of what it is about."""

    longitude_deg: float
    latitude_deg: float
    side_m: float
    what: str = ""


def encode_alert(alert: Alert) -> bytes:
    """1e-7 degrees (about a centimetre) in 4 bytes each, the side in decimetres, then the word (UTF-8, 255 bytes)."""
    if not (-180 <= alert.longitude_deg <= 180 and -90 <= alert.latitude_deg <= 90 and 0 <= alert.side_m < 6553.5):
        raise InputError(f"an alert at {alert.longitude_deg}, {alert.latitude_deg}, {alert.side_m} m a side",
                         expected="longitude, latitude in degrees, a side below 6,553 m")  # fmt: skip
    word = alert.what.encode()[:255].decode(errors="ignore").encode()
    place = (round(alert.longitude_deg * 1e7), round(alert.latitude_deg * 1e7), round(alert.side_m * 10))
    return struct.pack(">iiHB", *place, len(word)) + word


def decode_alert(payload: bytes) -> Alert:
    """Back from `encode_alert`."""
    if len(payload) < 11 or len(payload) != 11 + payload[10]:
        raise InputError(f"an alert of {len(payload)} bytes", expected="11 and those of its word")
    longitude, latitude, side, _ = struct.unpack(">iiHB", payload[:11])
    return Alert(longitude / 1e7, latitude / 1e7, side / 10, payload[11:].decode(errors="replace"))
