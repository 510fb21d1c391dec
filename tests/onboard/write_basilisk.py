"""Makes basilisk.json: levels of Basilisk's simple battery. ``pip install bsk`` (70 MB), then run this file."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from Basilisk.simulation import simpleBattery, simplePowerSink
from Basilisk.utilities import SimulationBaseClass, macros

CAPACITY_J, START_J, STEP_S, STEPS = 144_000.0, 100_000.0, 10.0, 1200
RUNS = {"no sun": (-3.0, -4.0, -3.0), "sun": (30.0, -3.0, -4.0, -3.0), "some sun": (9.25, -3.0, -4.0, -3.0)}


def levels(watts: tuple[float, ...]) -> np.ndarray:
    """(STEPS + 1,) joules in the battery at each step, from 0 s on."""
    sim = SimulationBaseClass.SimBaseClass()
    sim.CreateNewProcess("p").addTask(sim.CreateNewTask("t", macros.sec2nano(STEP_S)))
    store = simpleBattery.SimpleBattery()
    store.storageCapacity, store.storedCharge_Init = CAPACITY_J, START_J
    sinks = []  # kept: the battery reads their messages
    for power in watts:
        sink = simplePowerSink.SimplePowerSink()
        sink.nodePowerOut, sink.powerStatus = power, 1
        sim.AddModelToTask("t", sink)
        store.addPowerNodeToModel(sink.nodePowerOutMsg)
        sinks.append(sink)
    sim.AddModelToTask("t", store)
    log = store.batPowerOutMsg.recorder()
    sim.AddModelToTask("t", log)
    sim.InitializeSimulation()
    sim.ConfigureStopTime(macros.sec2nano(STEP_S * STEPS))
    sim.ExecuteSimulation()
    return np.asarray(log.storageLevel)


if __name__ == "__main__":
    found = {name: {"watts": watts, "levels_J": levels(watts)[::20].tolist()} for name, watts in RUNS.items()}
    facts = {"bsk": version("bsk"), "capacity_J": CAPACITY_J, "start_J": START_J, "step_s": STEP_S, "every": 20}
    out = Path(__file__).with_name("basilisk.json")
    out.write_text(json.dumps({**facts, "runs": found}, indent=1) + "\n")
