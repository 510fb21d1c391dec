"""Steps of `gpu_plan.py`, a module each with ``run(out, simulate, data)``."""
