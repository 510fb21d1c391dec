"""Native rows on a device (torch) to the 10 m grid there: the rule of `cubic`, for whole rows instead of tiles.

Both axes in turn, normalised over the taps that have data; elementwise sums of products, never a library's convolution,
which may round its factors. Values are whole DN and differ from the CPU's by at most 1, where rounding falls the other
way: sums of float32 are taken in another order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.core.extras import require
from skytrigger.model.native_inputs import HALO, cubic_taps

torch: Any = require("torch", why="scenes on a device")


class Upsampler:
    """Bands of one resolution.

    Parameters
    ----------
    factor
        Pixels of the scene's grid on a side of a native pixel.
    gains, shifts
        Of each band (`Radiometry`): model DN = gain x DN + shift.
    """

    def __init__(self, factor: int, gains: list[float], shifts: list[float], device: Any) -> None:
        base, weights = cubic_taps(factor)
        self.factor, self.margin = factor, HALO if factor > 1 else 0
        self._first = [int(b) + HALO for b in base]
        self._weights = [[float(w) for w in row] for row in weights.astype(np.float32)]
        self._gain, self._shift = (
            torch.tensor(np.array(v, np.float32), device=device).view(-1, 1, 1) for v in (gains, shifts)
        )

    def __call__(self, stored: Any, low: int, high: int, width: int) -> Any:
        """Model DN, 0 for no data, of image rows [low, high).

        Parameters
        ----------
        stored
            (bands, n, w) int16 bits of uint16 DN: native rows from low // factor - `margin` on, as many as are needed;
            those outside the band are 0.

        Returns
        -------
        tensor
            (bands, high - low, width) float32.
        """
        values = (stored.to(torch.int32) & 0xFFFF).to(torch.float32)
        if self.factor == 1:
            return torch.where(values == 0, 0.0, self._model_dn(values))
        n = values.shape[1] - 2 * HALO
        data = values != 0
        share = self._both(data.to(torch.float32), n, width)
        share = torch.where(share == 0, 1.0, share)  # nothing near: no data anyhow
        found = self._model_dn(self._both(values, n, width).div_(share))
        f, near = self.factor, data[:, HALO : HALO + n]
        near = near[:, :, None, :, None].expand(-1, -1, f, -1, f).reshape(len(near), n * f, -1)
        found.mul_(near[..., :width])
        top = low - low // self.factor * self.factor
        return found[:, top : top + high - low]

    def _both(self, values: Any, n: int, width: int) -> Any:
        """(bands, n + 2 HALO, w) -> (bands, n x factor, width)."""
        bands, rows, w = values.shape
        wide = torch.nn.functional.pad(values, (HALO, HALO))
        lines = values.new_empty((bands, rows, w, self.factor))
        for phase, first in enumerate(self._first):
            self._sum([wide[..., first + k : first + k + w] for k in range(4)], phase, lines[..., phase])
        flat = lines.view(bands, rows, -1)[..., :width]
        out = values.new_empty((bands, n, self.factor, width))
        for phase, first in enumerate(self._first):
            self._sum([flat[:, first + k : first + k + n] for k in range(4)], phase, out[:, :, phase])
        return out.view(bands, -1, width)

    def _sum(self, taps: list[Any], phase: int, out: Any) -> None:
        weights = self._weights[phase]
        total = taps[0] * weights[0]
        for tap, weight in zip(taps[1:], weights[1:], strict=True):
            total.add_(tap, alpha=weight)
        out.copy_(total)

    def _model_dn(self, values: Any) -> Any:
        """See `cubic.model_dn`."""
        scaled = torch.floor(values * self._gain + self._shift + 0.5).clamp_(1.0, 65534.0)
        return torch.where(values >= 65534.5, 65535.0, scaled)
