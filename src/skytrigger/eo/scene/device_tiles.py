"""Tiles of whole rows of cells, and what is measured on them, on a device: what `tile_maker` does on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from skytrigger.eo.bands import RGB_WHITE_DN
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.clouds import LIMITS_DN, SCL_CLOUD, SCREEN_BANDS, STEP
from skytrigger.eo.scene.device_cubic import Upsampler, torch
from skytrigger.eo.scene.engine import ResidentNetwork
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk
from skytrigger.eo.scene.planes import planes_of

BATCH = 2048  # tiles cut at once: 0.4 GB of 13 bands


@dataclass
class Measured:
    """Of the cells of some rows, on the device: (cells, ...), row by row."""

    logits: Any
    valid: Any
    cloudy: Any
    means: Any
    spreads: Any
    picture: Any


class DeviceTiles:
    """From a chunk's native rows on the device to answers and measures.

    Parameters
    ----------
    network
        What answers, and where; only its `device`, `stream` and `forward` are used.
    """

    def __init__(self, scene: Scene, cells: Cells, channels: tuple[str, ...], network: ResidentNetwork) -> None:
        self.cells, self.planes, self.network, self.device = cells, planes_of(scene, channels), network, network.device
        self.factors = scene.factors()
        self.heights = {n: scene.bands[n].grid.height for n in self.planes.read}
        self.widths = {n: scene.bands[n].grid.width for n in self.planes.read}
        self.groups: dict[int, tuple[str, ...]] = {}
        for name in self.planes.names:
            self.groups[self.factors[name]] = (*self.groups.get(self.factors[name], ()), name)
        self.upsamplers = {
            factor: Upsampler(
                factor, [scene.bands[n].radiometry.gain for n in names],
                [scene.bands[n].radiometry.shift for n in names], self.device,
            ) for factor, names in self.groups.items()
        }  # fmt: skip
        windows = cells.column_windows()
        self._xs = self._placed(mirrored(windows, cells.grid.width).reshape(-1))
        self._inside_x = self._placed((windows >= 0) & (windows < cells.grid.width))
        self._picture = self._placed(self._picture_places())

    def _placed(self, values: Any) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self.network.stream is not None:
            tensor = tensor.pin_memory()  # else the copy is waited for
        return tensor.to(self.device, non_blocking=True)

    def _picture_places(self) -> Any:
        """(p, k) pixels of a tile that each pixel of its picture is the mean of; see `tile_measures.picture_plane`."""
        side, block = self.cells.picture, self.cells.stride // self.cells.picture
        first = (self.cells.tile - self.cells.stride) // 2 + np.arange(side)[:, None] * block
        return first + np.arange(0, block, 2 if block >= 4 else 1)

    def upload(self, chunk: Chunk, low: int, high: int) -> dict[Any, Any]:
        """A chunk's rows, by factor and for SCL, int16 bits on the device; copies are queued and not waited for."""
        found = {f: self._uploaded(chunk, names, low, high, self.upsamplers[f].margin)
                 for f, names in self.groups.items()}  # fmt: skip
        if "SCL" in self.planes.read:
            return {**found, "SCL": self._uploaded(chunk, ("SCL",), low, high, 0)}
        return found

    def _uploaded(self, chunk: Chunk, names: tuple[str, ...], low: int, high: int, margin: int) -> Any:
        factor, height = self.factors[names[0]], self.heights[names[0]]
        first, last = low // factor - margin, (high - 1) // factor + 1 + margin
        start, stop = max(first, 0), min(last, height)
        made = torch.empty if (start, stop) == (first, last) else torch.zeros
        out = made((len(names), last - first, self.widths[names[0]]), dtype=torch.int16, device=self.device)
        for k, name in enumerate(names):
            rows = chunk.rows[name]
            source = torch.from_numpy(rows.pixels[start - rows.first : stop - rows.first].view(np.int16))
            out[k, start - first : stop - first].copy_(source, non_blocking=True)
        return out

    def rows(self, stored: dict[Any, Any], low: int, high: int, first: int, last: int) -> list[Measured]:
        """The rows of cells [first, last) of a chunk whose image rows are [low, high)."""
        bands: dict[str, Any] = {}
        for factor, names in self.groups.items():
            made = self.upsamplers[factor](stored[factor], low, high, self.cells.grid.width)
            bands |= {name: made[k] for k, name in enumerate(names)}
        count = -(-(last - first) // max(1, BATCH // self.cells.columns))  # parts as even as can be
        edges = [first + (last - first) * k // count for k in range(count + 1)]
        return [self._part(bands, stored.get("SCL"), low, a, b) for a, b in pairwise(edges)]

    def _part(self, bands: dict[str, Any], scl: Any, low: int, first: int, last: int) -> Measured:
        windows = np.stack([self.cells.row_window(row) for row in range(first, last)])
        ys = mirrored(windows, self.cells.grid.height).reshape(-1)
        inside_y = self._placed((windows >= 0) & (windows < self.cells.grid.height))
        own = self._placed(ys - low)
        shape = (last - first, self.cells.columns, self.cells.tile, self.cells.tile)
        tiles = torch.empty((*shape[:2], len(bands), *shape[2:]), dtype=torch.float32, device=self.device)
        for k, name in enumerate(self.planes.names):
            tiles[:, :, k].copy_(self._cut(bands[name], own, self._xs, shape))
        tiles = tiles.view(-1, *tiles.shape[2:])
        inside = inside_y[:, None, :, None] & self._inside_x[None, :, None, :]
        cloudy = self._clouds(tiles) if scl is None else self._scl_clouds(scl, ys, low, shape)
        picture = self._pictures(tiles)
        first, *others = (tiles[:, r] != 0 for r in self.planes.references)
        both = torch.logical_and if self.planes.every else torch.logical_or
        data = reduce(both, others, first)
        valid = (data & inside.view(-1, *shape[2:])).sum((1, 2))
        means, spreads = _measures(tiles, data)
        inputs = tiles[:, : self.planes.channels]
        return Measured(self.network.forward(inputs), valid, cloudy, means, spreads, picture)

    @staticmethod
    def _cut(band: Any, ys: Any, xs: Any, shape: tuple[int, ...]) -> Any:
        """(rows, columns, t, t) of a band's image rows."""
        rows, columns, size, _ = shape
        return band.index_select(0, ys).index_select(1, xs).view(rows, size, columns, size).permute(0, 2, 1, 3)

    def _pictures(self, tiles: Any) -> Any:
        """(n, p, p, 3) uint8, before gaps are filled."""
        side, each = self._picture.shape
        out = torch.zeros((len(tiles), side, side, 3), dtype=torch.uint8, device=self.device)
        places = self._picture.reshape(-1)
        for name, colour in self.planes.colours.items():
            band = tiles[:, self.planes.names.index(name)].index_select(1, places).index_select(2, places)
            sums = band.view(-1, side, each, side, each).sum((2, 4))
            scale = float(np.float32(255.0) / (np.float32(RGB_WHITE_DN) * each**2))
            out[..., colour] = (sums * scale).clamp_(max=255.0).to(torch.uint8)
        return out

    def _clouds(self, tiles: Any) -> Any:
        """See `tile_measures.screen_clouds`; NaN where the scene cannot be screened."""
        if not self.planes.screened:
            return torch.full((len(tiles),), float("nan"), device=self.device)
        seen = tiles[:, :, STEP // 2 :: STEP, STEP // 2 :: STEP]
        none = torch.zeros_like(seen[:, 0])
        b01, b02, b10, b11 = (
            seen[:, self.planes.names.index(n)] if n in self.planes.screened else none for n in SCREEN_BANDS
        )
        high, blue, aerosol, swir = (float(v) for v in LIMITS_DN)
        thick = (b02 > blue) & ((b01 if "B01" in self.planes.screened else b02) > aerosol) & (b11 > swir)
        data = b02 != 0
        cloudy = (((b10 > high) | thick) & data).sum((1, 2))
        return cloudy / data.sum((1, 2)).clamp_(min=1)

    def _scl_clouds(self, scl: Any, ys: Any, low: int, shape: tuple[int, ...]) -> Any:
        factor = self.factors["SCL"]
        rows = self._placed(ys // factor - low // factor)
        codes = self._cut(scl[0], rows, self._xs // factor, shape).reshape(-1, *shape[2:])
        cloudy = sum((codes == c).sum((1, 2)) for c in SCL_CLOUD)
        return cloudy / (codes != 0).sum((1, 2)).clamp_(min=1)


def _measures(tiles: Any, data: Any) -> tuple[Any, Any]:
    """(n, planes) means and standard deviations of pixels with data; the others are set to the mean, in place."""
    some = data[:, None]
    count = data.sum((1, 2)).clamp(min=1)[:, None]
    kept = torch.where(some, tiles, 0.0)
    means = (kept.sum((2, 3), dtype=torch.float64) / count).to(torch.float32)
    away = torch.where(some, tiles - means[..., None, None], 0.0)
    squares, rest = (away * away).sum((2, 3)) / count, away.sum((2, 3)) / count
    tiles.copy_(torch.where(some, tiles, torch.floor(means + 0.5)[..., None, None]))
    return means, (squares - rest * rest).clamp_(min=0.0).sqrt_()
