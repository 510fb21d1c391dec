"""Was it change, or one map's mistake? Transitions of classes under the confusion of both maps.

Each map reports class a with probability P(a | i) where the ground is i; both err independently. The shares J_ij of
ground that went from i to j are fitted to the counts of reported pairs by expectation-maximisation (Dempster et al.
1977); then

    P(i, j | a, b) = J_ij P(a | i) P(b | j) / sum over i, j

and a cell has changed where P(i != j | a, b) is at least a limit. Its false-alarm rate, the share of unchanged ground
that is called changed, follows from the same numbers: sum over i of share_i x sum over called (a, b) of P(a|i) P(b|i).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError

Matrix = NDArray[np.float64]
ITERATIONS = 300
SURE = 0.9  # probability from which a cell is called changed
SMOOTH = 0.5  # tiles added to each cell of a confusion matrix: none was seen does not mean never
STAY = 0.98  # share of unchanged ground that the fit starts from, and leans to with the weight of `LEAN` of the cells
LEAN = 0.05


@dataclass(frozen=True)
class Transitions:
    """What a pair of maps says.

    Attributes
    ----------
    shares
        (k, k) fitted share of ground from class i to class j; sums to 1.
    changed
        (k, k) probability that a cell reported as (a, b) has changed.
    likeliest
        (k, k, 2) the likeliest true pair of a cell reported as (a, b).
    limit
        From which probability a cell is called changed.
    false_alarm_rate
        Share of unchanged ground that is called changed, as the confusion implies.
    false_discovery_rate
        Expected share of unchanged cells among those called.
    """

    shares: Matrix
    changed: Matrix
    likeliest: NDArray[np.int64]
    limit: float
    false_alarm_rate: float
    false_discovery_rate: float

    @property
    def called(self) -> NDArray[np.bool_]:
        """(k, k) which reported pairs are called change."""
        return self.changed >= self.limit


def reported_given_true(confusion: NDArray[np.int64]) -> Matrix:
    """(k, k) P(reported | true), rows true, from test tiles' counts."""
    smooth = confusion + SMOOTH / len(confusion)
    found: Matrix = smooth / smooth.sum(axis=1, keepdims=True)
    return found


def fit_transitions(
    counts: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], limit: float = SURE
) -> Transitions:
    """Fit the shares of transitions to `counts` (k, k) of cells reported as (a, b), given both maps' confusion.

    Raises
    ------
    InputError
        No cell is in both maps, or the matrices are of other classes.
    """
    if counts.shape != before.shape or counts.shape != after.shape:
        raise InputError(f"confusion of {len(before)} and {len(after)} classes, maps of {len(counts)}")
    if not counts.sum():
        raise InputError("no cell has a class in both maps", remedy="maps of the same ground, with fewer clouds")
    p, q = reported_given_true(before), reported_given_true(after)
    shares = _fit(counts.astype(np.float64), p, q)
    joint = np.einsum("ij,ia,jb->abij", shares, p, q)
    k = len(counts)
    posterior = joint / joint.sum(axis=(2, 3), keepdims=True)
    changed = 1.0 - posterior[:, :, np.arange(k), np.arange(k)].sum(axis=2)
    flat = posterior.reshape(k, k, k * k).argmax(axis=2)
    called = changed >= limit
    stays = np.diag(shares) / max(np.diag(shares).sum(), 1e-300)
    alarm = float(np.einsum("i,ia,ib,ab->", stays, p, q, called.astype(float)))
    number = counts[called].sum()
    discovery = float(((1 - changed) * counts)[called].sum() / number) if number else 0.0
    likeliest = np.stack([flat // k, flat % k], axis=-1)
    return Transitions(shares, changed, likeliest, limit, alarm, discovery)


def _fit(counts: Matrix, p: Matrix, q: Matrix) -> Matrix:
    """Expectation-maximisation, with pseudo-counts that lean to unchanged ground.

    Without them rare mistakes of both maps are explained by rare changes, which the likelihood cannot tell apart.
    """
    total = counts.sum()
    marginal = (counts.sum(axis=1) + counts.sum(axis=0)) / (2 * total) + 1e-6
    marginal /= marginal.sum()
    start = STAY * np.diag(marginal) + (1 - STAY) * np.outer(marginal, marginal)
    lean = LEAN * total * np.diag(marginal)
    shares = start
    for _ in range(ITERATIONS):
        expected = p.T @ shares @ q
        ratio = np.divide(counts, expected, out=np.zeros_like(counts), where=expected > 0)
        shares = shares * (p @ ratio @ q.T) + lean
        shares /= shares.sum()
    return shares
