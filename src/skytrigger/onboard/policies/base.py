"""What a policy is: which rows are kept, and in which order they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.rows import Rows
from skytrigger.onboard.spec import Spec
from skytrigger.onboard.value import Worth

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlook:
    """What a policy knows besides the rows.

    Attributes
    ----------
    next_pass_s
        When the next pass begins, on the on-board clock; NaN where passes are not known on board.
    next_bits
        What it can carry; NaN where it is not known.
    link_share
        Share of the sensed bits that the mission's link carries in all.
    """

    spec: Spec
    worth: Worth
    classes: tuple[str, ...]
    next_pass_s: float = float("nan")
    next_bits: float = float("nan")
    link_share: float = 1.0


class Policy:
    """First in, first out; everything is kept. Others override what they do differently.

    `dynamic`: the order depends on the time, so that it is asked for again at each slice of a pass. Otherwise it is
    asked for once, when rows arrive.
    """

    name: ClassVar[str] = "fifo"
    dynamic: ClassVar[bool] = False
    alerts_first: ClassVar[bool] = False
    why_dropped: ClassVar[str] = "the policy keeps everything"

    def admit(self, rows: Rows, outlook: Outlook) -> Any:
        """(n,) which rows are kept; the others are dropped at once."""
        return np.ones(len(rows), bool)

    def tier(self, rows: Rows, outlook: Outlook) -> Any:
        """(n,) index in `spec.TIERS` of what is kept of each row."""
        return rows["tier"]

    def order(self, rows: Rows, now_s: float, outlook: Outlook) -> Any:
        """(n,) the highest is sent first; where memory is full, the lowest is evicted first."""
        return -rows["t_s"]
