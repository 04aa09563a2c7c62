"""A scorecard: the log-odds of an event as a sum of points, one for the class a case falls into in each feature.

Ridge-penalised logistic regression, so that a class seldom seen is worth next to nothing. Points can be read, added up
and told as reasons. Not here: which features, which event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

RIDGE = 10.0  # penalty on squared points: what ten cases' worth of doubt is; chosen on the demo before its last year


@dataclass(frozen=True)
class Scorecard:
    base: float
    points: np.ndarray  # by class
    usual: np.ndarray  # mean points of each feature over the cases it was fitted on

    def log_odds(self, classes: np.ndarray) -> np.ndarray:
        return self.base + self.points[classes].sum(axis=1)

    def probability(self, classes: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-self.log_odds(classes)))

    def contributions(self, classes: np.ndarray) -> np.ndarray:
        """Points above the usual case's, by case and feature."""
        return self.points[classes] - self.usual


def fit(classes: np.ndarray, is_event: np.ndarray, class_count: int, weights: np.ndarray | None = None) -> Scorecard:
    """classes: by case and feature, numbered through all features."""
    cases, features = classes.shape
    weights = np.ones(cases) if weights is None else weights
    used = np.flatnonzero(np.bincount(classes.ravel(), minlength=class_count))  # only classes seen have points
    column = np.zeros(class_count, dtype=np.int32)
    column[used] = np.arange(used.size)
    shape = (cases, used.size)
    design = sparse.csr_matrix(
        (np.ones(classes.size), column[classes.ravel()], np.arange(0, classes.size + 1, features)), shape
    )
    turned = design.T.tocsr()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = values[0] + design @ values[1:]
        surprise = weights * (np.logaddexp(0, log_odds) - is_event * log_odds)
        slope = weights * (1 / (1 + np.exp(-log_odds)) - is_event)
        gradient = np.concatenate([[slope.sum()], turned @ slope + RIDGE * values[1:]])
        return surprise.sum() + RIDGE / 2 * (values[1:] ** 2).sum(), gradient

    share = (weights @ is_event + 1) / (weights.sum() + 2)
    start = np.concatenate([[np.log(share / (1 - share))], np.zeros(used.size)])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxcor": 20}).x
    points = np.zeros(class_count)
    points[used] = found[1:]
    return Scorecard(found[0], points, np.average(points[classes], axis=0, weights=weights))
