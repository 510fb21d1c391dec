"""Writes golden.csv: the first showers of seed 0. Run it only with a new simulator version."""

from __future__ import annotations

import csv
from pathlib import Path

from skytrigger.hep.pid.simulator import simulate
from skytrigger.hep.pid.tracksters import join

if __name__ == "__main__":
    found = join([t for t, _ in simulate(16, 0)])
    total = found.layer_energy().sum(1)
    with (Path(__file__).parent / "golden.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", "true_energy", "clusters", "energy"])
        for i in range(len(found)):
            writer.writerow([found.label[i], f"{found.true_energy[i]:.6f}", found.counts[i], f"{total[i]:.6f}"])
