r"""Large RGB teachers, and the packaged architectures taught by them, in RGB and 13 bands, in given seconds of a GPU.

    python benchmarks/gpu_bring.py --rgb RGB_TRAIN.zip RGB_VAL.zip --ms MS_TRAIN.zip          # into build/bring/whole
    PYTHONPATH=src python benchmarks/gpu_teacher.py --data build/bring/whole --out OUT --seconds 450
    PYTHONPATH=src python benchmarks/gpu_teacher.py --data build/bring/whole --out OUT --simulate   # on the CPU, tiny

See `gpu_steps.teacher` and, for the stages, `gpu_steps.teacher_stages`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gpu_steps.teacher import SECONDS, run, stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of whole archives, as gpu_bring.py leaves them")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--stage", help="one stage, for the step itself")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    if args.stage:
        stage(args.stage, args.work, args.simulate)
    elif args.out is None:
        parser.error("--out is needed")
    else:
        run(args.out.resolve(), args.simulate, args.data and args.data.resolve(), args.seconds)


if __name__ == "__main__":
    main()
