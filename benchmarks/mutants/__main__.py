"""``python -m mutants [MODULE ...]``: change one thing at a time and see whether a test fails.

A module's results stay in ``build/mutants`` while it runs and go to ``results/mutants`` when it is done. A second call
tries only what is left: mutants of functions whose text has changed, and survivors where a test has changed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(ONE_THREAD)  # before NumPy is there
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])

from mutants.records import Plan, plans, table  # noqa: E402
from mutants.running import run  # noqa: E402
from mutants.trying import warm  # noqa: E402


def main() -> int:
    """0: every wanted module was tried to its end; what one's tests import is warm for the next."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="names as in modules.toml, or their beginnings; default: all")
    parser.add_argument("--again", action="store_true", help="forget what was found before")
    parser.add_argument("--survivors", action="store_true", help="only list what survived")
    args = parser.parse_args()
    os.chdir(ROOT)
    asked = args.modules or [""]
    wanted = list(dict.fromkeys(plan for name in asked for plan in plans() if plan.name.startswith(name)))
    if not wanted:
        parser.error(f"none of {', '.join(plan.name for plan in plans())} begins so")
    if args.survivors:
        for plan in wanted:
            _survivors(plan)
        return 0
    warm(table()["warm"])
    for plan in wanted:
        run(plan, again=args.again)
    return 0


def _survivors(plan: Plan) -> None:
    for m in plan.record().get("left", []):
        print(f"{plan.path}:{m['line']}: {m['status']}: {m['was']}  ->  {m['now']}")


if __name__ == "__main__":
    sys.exit(main())
