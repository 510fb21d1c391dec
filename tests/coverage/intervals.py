"""How often each interval that is printed holds the truth, found by simulation.

    python tests/coverage/intervals.py [--replicates 1000] [--methods area recall] [--write docs/measuring.md]

Every case draws a data set whose truth is known, asks the product for its interval and says whether that holds it. The
tests run the same cases (`test_coverage.py`); `--write` puts the table between the markers of a page.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

sys.path.insert(0, str(Path(__file__).parents[1] / "measure"))
sys.path.insert(0, str(Path(__file__).parent))

from cases import Array, Case, Draw, holds, within
from map_intervals import area_cases, replay_cases
from noisy_machine import log_noise, palindromic
from physics_intervals import doublet_cases, shower_cases

from skytrigger.bench.compare_times import apart as apart_of
from skytrigger.core.heads import Head
from skytrigger.learn.metrics import value_metrics
from skytrigger.measure.accuracy import confusion_change, mcnemar
from skytrigger.measure.calibration import calibrated_p, calibration_interval
from skytrigger.measure.paired import log_intervals
from skytrigger.measure.records import Record
from skytrigger.measure.seed_variance import seed_difference, seed_variance
from skytrigger.measure.stats import interval_of_stretches, mean_interval, median_interval, newcombe, wilson
from skytrigger.measure.summary import EnergySummary, energy_summary, joules_per_correct
from skytrigger.optimize.floor import HOLDS, judge
from skytrigger.optimize.metric import ACCURACY

BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


# --- accuracy -------------------------------------------------------------------------------------------------------
def networks(rng: np.random.Generator, accuracies: Array, images: int, hard: float) -> Array:
    """(networks, images) right or not: images that are hard for one are hard for all, more so the larger `hard` is."""
    difficulty = hard * rng.standard_normal(images)
    limit = ndtri(accuracies)[:, None] * math.sqrt(1 + hard**2)
    return np.asarray(rng.random((len(accuracies), images)) < ndtr(limit + difficulty))


def accuracy_cases() -> Iterator[Case]:
    for n in (81, 276, 5400):
        for p in (0.8, 0.95, 0.99):
            # of a discrete count the coverage swings about the level (Brown, Cai & DasGupta 2001)
            yield Case("Wilson: accuracy", f"accuracy {100 * p:g} %", str(n), _wilson(n, p), 0.05, least=0.92)
    for n in (10, 27):
        for p in (0.5, 0.8, 0.95):
            yield Case("Wilson: recall of a class", f"recall {100 * p:g} %", str(n), _wilson(n, p), 0.05, least=0.91)
    for n in (276, 5400):
        for p in (0.8, 0.95):
            pair = np.array([p, p - 0.02])

            def difference(rng: np.random.Generator, n: int = n, pair: Array = pair) -> bool:
                a, b = networks(rng, pair, n, 2.0)
                return holds(mcnemar(a, b).difference, -0.02)

            yield Case("Tango: paired difference", f"{100 * p:g} and {100 * p - 2:g} %, same images", str(n),
            difference,
                       0.5, least=0.94)  # fmt: skip
    for n in (81, 600):

        def gap(rng: np.random.Generator, n: int = n) -> bool:
            return holds(
                newcombe(wilson(int(rng.binomial(n, 0.95)), n), wilson(int(rng.binomial(276, 0.9)), 276)), 0.05
            )

        yield Case("Newcombe: gap between parts", "95 and 90 %", f"{n}, 276", gap, 0.1, least=0.94)
    for n in (30, 100, 600):
        for moved in (0.05, 0.16):
            # one or two images moved: discrete, as Wilson's
            least = 0.86 if n * moved < 3 else 0.93
            what = f"{100 * moved:g} % of a class moved"
            yield Case("Tango: confusion cell", what, str(n), _cell(n, moved), 2, least=least)


def _wilson(n: int, p: float) -> Draw:
    return lambda rng: holds(wilson(int(rng.binomial(n, p)), n), p)


def _cell(n: int, moved: float) -> Draw:
    def draw(rng: np.random.Generator) -> bool:
        true = np.repeat(np.arange(3), n)
        a = np.where((true == 2) & (rng.random(3 * n) < 0.02), 1, true)
        b = np.where((true == 2) & (rng.random(3 * n) < moved), 1, true)
        change = confusion_change(true, a, b, 3)
        return bool(change.low[2, 1] <= moved - 0.02 <= change.high[2, 1])

    return draw


def floor_cases() -> Iterator[Case]:
    """The search's floor: a network that is worse by just the margin must not be said to hold it, 2.5 % apart."""
    for n in (81, 276, 2700):
        for margin in (0.01, 0.05):

            def draw(rng: np.random.Generator, n: int = n, margin: float = margin) -> bool:
                right = networks(rng, np.array([0.92, 0.92 - margin]), n, 2.0)
                true = np.zeros(n, dtype=np.int64)
                given, candidate = (np.eye(2, dtype=np.float32)[np.where(r, 0, 1)] for r in right)
                return judge(ACCURACY, given, candidate, true, np.arange(n), margin).word != HOLDS

            yield Case("floor: a drop of the margin is not accepted as established", f"margin {100 * margin:g} points",
                       str(n), draw, 1, 0.975, 0.96)  # fmt: skip


# --- calibration ----------------------------------------------------------------------------------------------------
def calibration_cases() -> Iterator[Case]:
    kinds = {
        "confidence 50 to 100 %": lambda rng, n: rng.uniform(0.5, 1, n),
        "most confidence near 100 %": lambda rng, n: 1 - 0.5 * rng.beta(0.3, 3, n),
    }
    for n in (276, 1000, 3000, 5400):
        for name, confident in kinds.items():
            for error in (0.0, 0.02, 0.05, 0.1):

                def draw(rng, n=n, confident=confident, error=error):  # type: ignore[no-untyped-def]
                    confidence = confident(rng, n)
                    right = rng.random(n) < confidence - error
                    return holds(calibration_interval(confidence, right), error)

                yield Case("calibration error", f"true error {100 * error:g} %, {name}", str(n), draw, 8)

    for n in (276, 1000):
        for name, confident in kinds.items():

            def honest(rng, n=n, confident=confident):  # type: ignore[no-untyped-def]
                confidence = confident(rng, n)
                return calibrated_p(confidence, rng.random(n) < confidence) > 0.05

            yield Case("test of calibrated: an honest network is not refused", name, str(n), honest, 40, least=0.94)


# --- seeds ----------------------------------------------------------------------------------------------------------
def seed_cases() -> Iterator[Case]:
    for images in (276, 5400):
        for seeds in (2, 3, 5, 10):
            for spread in (0.0, 0.01, 0.02, 0.04):
                for hard in (0.0, 2.0):
                    yield _seeds_case(images, seeds, spread, hard)
    for seeds in (2, 3, 5, 10):
        for spread in (0.0, 0.01, 0.04):

            def draw(rng: np.random.Generator, seeds: int = seeds, spread: float = spread) -> bool:
                accuracies = np.clip(0.9 + spread * rng.standard_normal(2 * seeds), 0.01, 0.999)
                right = networks(rng, accuracies, 276, 2.0)
                return holds(seed_difference(right[:seeds], right[seeds:]), 0.0)

            yield Case("difference of recipes over seeds", f"{seeds} seeds each, spread {100 * spread:g} points", "276",
                       draw, 1)  # fmt: skip


def _seeds_case(images: int, seeds: int, spread: float, hard: float) -> Case:
    def draw(rng: np.random.Generator) -> bool:
        accuracies = np.clip(0.9 + spread * rng.standard_normal(seeds), 0.01, 0.999)
        return holds(seed_variance(networks(rng, accuracies, images, hard)).accuracy, 0.9)

    tiles = "shared hard tiles" if hard else "independent errors"
    what = f"{seeds} seeds, spread {100 * spread:g} points, {tiles}"
    return Case("accuracy over seeds", what, str(images), draw, 0.5 if images < 1000 else 0.3 * seeds + 1)


# --- times ----------------------------------------------------------------------------------------------------------
def steps(rng: np.random.Generator, runs: int, slots: int) -> Array:
    """A clock that steps between two frequencies 15 % apart."""
    return 0.15 * (np.cumsum(rng.random((runs, slots)) < 0.1, axis=1) % 2) + 0.02 * rng.standard_normal((runs, slots))


NOISES: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": lambda rng, runs, slots: 0.05 * rng.standard_normal((runs, slots)),
    "heavy tails (t with 2 degrees of freedom)": lambda rng, runs, slots: 0.05 * rng.standard_t(2, (runs, slots)),
    "drift": lambda rng, runs, slots: log_noise(rng, runs, slots, white=0.02, drift=0.4, ar=0.0, burst_chance=0.0),
    "AR(1) with 0.97": lambda rng, runs, slots: log_noise(
        rng, runs, slots, white=0.02, drift=0.0, ar=0.15, phi=0.97, burst_chance=0.0
    ),
    "two clock frequencies": steps,
    "bursts": lambda rng, runs, slots: log_noise(
        rng, runs, slots, white=0.02, drift=0, ar=0, burst_chance=0.08, burst=1
    ),
    "drift, AR(1) and bursts": lambda rng, runs, slots: log_noise(rng, runs, slots),
}


def time_cases() -> Iterator[Case]:
    for blocks in (10, 12, 20, 30):
        for name, noise in NOISES.items():

            def draw(rng, blocks=blocks, noise=noise):  # type: ignore[no-untyped-def]
                order = palindromic(rng, 1, blocks, 3)
                slots = noise(rng, 1, 6 * blocks).reshape(1, blocks, 6)
                a, b = (np.where(order == arm, slots, 0).sum(axis=2) / 2 for arm in (0, 1))
                _, low, high = log_intervals(b + math.log(1.2) - a)
                return bool(low[0] <= math.log(1.2) <= high[0])

            yield Case("ratio of times over blocks", name, f"{blocks} blocks", draw, 0.3)
    for n in (10, 30, 60, 200, 1000):
        for name, phi, least in (("white", 0.0, 0.94), ("AR(1) with 0.5", 0.5, 0.91), ("AR(1) with 0.9", 0.9, 0.82),
                                 ("AR(1) with 0.97", 0.97, 0.65)):  # fmt: skip
            yield Case("median of a series of times", name, str(n), _median(n, phi), 0.5, least=least)
    for n in (60, 1000):

        def apart(rng: np.random.Generator, n: int = n) -> bool:
            a, b = (np.exp(0.05 * ar1(rng, n, 0.5)) for _ in range(2))
            return holds(apart_of(median_interval(np.log(a)), median_interval(np.log(b))), 0.0)

        yield Case("ratio of separate runs", "AR(1) with 0.5, no drift between them", str(n), apart, 1)


def ar1(rng: np.random.Generator, n: int, phi: float) -> Array:
    from scipy.signal import lfilter

    start = rng.standard_normal()
    shocks = math.sqrt(1 - phi**2) * rng.standard_normal(n)
    return np.asarray(lfilter([1.0], [1.0, -phi], shocks, zi=np.array([phi * start]))[0])


def _median(n: int, phi: float) -> Draw:
    def draw(rng: np.random.Generator) -> bool:
        found = median_interval(np.exp(0.05 * ar1(rng, n, phi)), positive=True)
        return not found.known or holds(found, 1.0)  # where it says that there is none it claims nothing

    return draw


# --- energy, losses, values ---------------------------------------------------------------------------------------
def energy_cases() -> Iterator[Case]:
    for n in (5, 10, 20):
        for name, phi, least in (("white", 0.0, 0.94), ("AR(1) with 0.5 between stretches", 0.5, 0.85)):

            def power(rng: np.random.Generator, n: int = n, phi: float = phi) -> bool:
                watts = 50 + 2 * ar1(rng, n, phi)
                return holds(interval_of_stretches(float(watts.mean()), watts), 50)

            yield Case("power of a window", name, f"{n} stretches", power, 0.3, least=least)

        def net(rng: np.random.Generator, n: int = n) -> bool:
            """The true idle power lies anywhere between those before and after, as the room or the fan has it."""
            watts, idle, at = 50 + 2 * rng.standard_normal(n), 20 + rng.standard_normal(2), rng.random()
            found = energy_summary(_window(watts, idle))
            return (
                found is not None
                and found.net is not None
                and holds(found.net, 30 - (at * idle[0] + (1 - at) * idle[1] - 20))
            )

        yield Case("net power of a window", "idle power somewhere between before and after", f"{n} stretches", net, 0.4)

        def correct(rng: np.random.Generator, n: int = n) -> bool:
            watts = 50 + 2 * rng.standard_normal(n)
            gross = interval_of_stretches(float(watts.mean()), watts)
            energy = EnergySummary(gross, None, gross, "measured", ())
            found = joules_per_correct(energy, wilson(int(rng.binomial(276, 0.9)), 276))
            return found is not None and holds(found, 50 / 0.9)

        yield Case("joules per correct image", "accuracy 90 % of 276", f"{n} stretches", correct, 0.4)


def _window(watts: Array, idle: Array) -> Record:
    """A record of one second and one image."""
    energy = {"label": "measured", "items": 1, "seconds": 1.0, "joules_gross": float(watts.mean()),
              "joules_net": float(watts.mean() - idle.mean()), "watts_stretches": watts.tolist(),
              "idle_watts": idle.tolist()}  # fmt: skip
    return Record("power", {}, {}, {}, energy=energy)


def value_cases() -> Iterator[Case]:
    """Errors of a head of values: skewed ones, as a network's often are."""
    head = Head("energy", "values", ("x",), "GeV")
    kinds = {  # name -> (errors, mean, mean size, root mean square)
        "normal": (lambda rng, n: 0.2 + rng.standard_normal(n), 0.2, _folded(0.2), math.hypot(0.2, 1)),
        "skewed (exponential)": (lambda rng, n: rng.exponential(1, n), 1.0, 1.0, math.sqrt(2)),
    }
    for n in (81, 276, 1000):
        for name, (errors, *truths) in kinds.items():
            for figure, truth in zip(("bias", "mae", "rmse"), truths, strict=True):

                def draw(rng, n=n, errors=errors, figure=figure, truth=truth):  # type: ignore[no-untyped-def]
                    true = rng.uniform(0, 100, (n, 1))
                    found = value_metrics(true + errors(rng, n)[:, None], true, head)["values"]["x"]
                    return within(found[f"{figure}_interval_95"], truth)

                yield Case(
                    f"head of values: {figure}", name, str(n), draw, 0.3, least=0.90 if figure != "rmse" else 0.87
                )


def _folded(mean: float) -> float:
    """E|x| of a normal of unit deviation."""
    return math.sqrt(2 / math.pi) * math.exp(-(mean**2) / 2) + mean * (1 - 2 * float(ndtr(-mean)))


def loss_cases() -> Iterator[Case]:
    kinds: dict[str, tuple[Callable[[np.random.Generator, int], Array], float, float]] = {
        "skewed (gamma, shape 0.3)": (lambda rng, n: rng.gamma(0.3, 1, n), 0.3, 0.92),
        "very skewed (log-normal, sigma 2)": (lambda rng, n: np.exp(2 * rng.standard_normal(n)), math.exp(2), 0.82),
    }
    for n in (81, 276, 1000):
        for name, (sample, truth, least) in kinds.items():

            def draw(rng, n=n, sample=sample, truth=truth):  # type: ignore[no-untyped-def]
                return holds(mean_interval(sample(rng, n), resamples=600), truth)

            yield Case("mean loss over images", name, str(n), draw, 25, least=least)


def all_cases() -> list[Case]:
    makers = (accuracy_cases, floor_cases, calibration_cases, seed_cases, time_cases, energy_cases, loss_cases,
              value_cases, doublet_cases, shower_cases, area_cases, replay_cases)  # fmt: skip
    return [case for make in makers for case in make()]


def found(case: Case, replicates: int) -> float:
    """Share of `replicates` intervals that hold the truth; the same draws whenever it is asked."""
    rng = np.random.default_rng(zlib.crc32(f"{case.method}, {case.what}, {case.n}".encode()))
    return float(np.mean([case.draw(rng) for _ in range(replicates)]))


def found_at(index: int, replicates: int) -> float:
    """`found` of the case with that number, fewer of the costly ones."""
    case = all_cases()[index]
    least = 200 if case.effort < 50 else 600  # few of the costly ones are left to chance too much
    share = found(case, max(least, min(replicates, int(1500 / case.effort))))
    print(f"{case.method}; {case.what}; n = {case.n}: {100 * share:.1f} %", file=sys.stderr, flush=True)
    return share


def table(replicates: int, workers: int, methods: list[str], before: dict[tuple[str, str], str]) -> str:
    """The page's table, one row for a method and n, the lowest and mean found over its kinds of noise.

    Of other methods than `methods` (words of their names; none: all) the rows that stand in `before` are kept.
    """
    cases = all_cases()
    wanted = [i for i, c in enumerate(cases) if not methods or any(word in c.method for word in methods)]
    with ProcessPoolExecutor(workers) as pool:
        shares = dict(zip(wanted, pool.map(found_at, wanted, [replicates] * len(wanted)), strict=True))
    groups: dict[tuple[str, str], list[tuple[Case, float | None]]] = {}
    for number, case in enumerate(cases):
        groups.setdefault((case.method, case.n), []).append((case, shares.get(number)))
    lines = [
        "| method | n | nominal | found, mean | found, lowest | where lowest |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (method, n), rows in groups.items():
        found_here = [(case, share) for case, share in rows if share is not None]
        if not found_here:
            lines += [before[method, n]] if (method, n) in before else []
            continue
        case, low = min(found_here, key=lambda r: r[1])
        mean = np.mean([share for _, share in found_here])
        shown = f"{100 * case.nominal:g} % | {100 * mean:.1f} % | {100 * low:.1f} %"
        lines.append(f"| {method} | {n} | {shown} | {case.what} |")
    return "\n".join(lines)


def rows_of(page: str) -> dict[tuple[str, str], str]:
    """Rows of the page's table by method and n."""
    rows = page.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    return {(cells[1].strip(), cells[2].strip()): row for row in rows if (cells := row.split("|"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--methods", nargs="*", default=[], help="words of methods; other rows of the page stay")
    parser.add_argument("--write", type=Path, help="page with the two markers")
    args = parser.parse_args()
    page = args.write.read_text() if args.write else ""
    text = table(args.replicates, args.workers, args.methods, rows_of(page) if page else {})
    if args.write is None:
        print(text)
        return
    page = args.write.read_text()
    before, rest = page.split(BEGIN)
    args.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
