"""An external meter that writes a CSV while we measure."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path

from skytrigger.core.errors import InputError
from skytrigger.measure.meters.protocol import MeterFacts, Reading


class CsvMeter:
    """Rows of a CSV with a header and the columns ``time_s`` (Unix time) and ``power_w`` and / or ``energy_j``.

    The rows inside the window are read when it ends; the meter's clock must agree with this machine's.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.read_rows()
        self.facts = MeterFacts("external", "whatever the meter is wired to", "as the meter writes it")
        self._begin_s = 0.0

    def read_rows(self) -> list[Reading]:
        """All rows; a torn last line is left out.

        Raises
        ------
        InputError
            No such file, missing columns, or a value that is no number.
        """
        try:
            text = self.path.read_text(errors="strict")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the meter's file {self.path}: {error}") from error
        rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
        names = set(rows[0]) if rows else set(text.split("\n")[0].strip().split(","))
        if "time_s" not in names or not names & {"power_w", "energy_j"}:
            raise InputError(
                f"{self.path} has columns {sorted(map(str, names))}", expected="time_s, power_w or energy_j"
            )
        return [self._reading(row, number) for number, row in enumerate(rows, 2)]

    def _reading(self, row: dict[str, str], number: int) -> Reading:
        try:
            values = {k: float(row[k]) for k in ("time_s", "power_w", "energy_j") if row.get(k) not in (None, "")}
            if "time_s" not in values or not all(map(math.isfinite, values.values())):
                raise ValueError("a value is missing or not finite")
        except ValueError as error:
            raise InputError(f"{self.path}, line {number}: {error}") from error
        return Reading(values["time_s"], values.get("energy_j"), values.get("power_w"))

    def start(self) -> None:
        """Remember when the window began."""
        self._begin_s = time.time()

    def stop(self) -> list[Reading]:
        """Rows written about times inside the window."""
        end_s = time.time()
        return [r for r in self.read_rows() if self._begin_s <= r.time_s <= end_s]

    def close(self) -> None:
        """Nothing to give back."""
