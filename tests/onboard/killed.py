"""A replay that kills itself (SIGKILL) at its n-th write of a checkpoint: ``python killed.py SPEC OUT N``; 0: never.

Checkpoints are written at every event, so that any moment of a replay can be hit. Prints how many were written.
"""

from __future__ import annotations

import os
import signal
import sys

from skytrigger.onboard import checkpoint, replay
from skytrigger.onboard.mission import replay_mission
from skytrigger.onboard.spec_file import load_spec

spec, out, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
count = 0
save = checkpoint.save


def counted(path, state):
    global count
    count += 1
    if count == at and at % 2:
        os.kill(os.getpid(), signal.SIGKILL)  # before the write
    save(path, state)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)


replay.CHECKPOINT_S = 0.0
checkpoint.save = counted
replay_mission(load_spec(spec), out, threads=1)
print(count)
