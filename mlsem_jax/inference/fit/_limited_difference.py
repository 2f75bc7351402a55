"""Tests of nested models by weighted least squares: differences of chi-squares, corrected as those of the models are.

With D and H of the larger model (see `variance/_limited.py`) and K the derivatives of its parameters in those of the smaller,
the difference of the uncorrected chi-squares has the mean tr(U Gamma) and the variance 2 tr(U Gamma U Gamma) with
U = W D (H^-1 - K (K'HK)^-1 K') D'W (Satorra 2000; Asparouhov & Muthen 2006). K is the projection of the smaller model's
derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference.variance import LimitedTest, pieces
from mlsem_jax.numerics import float64


def check_same_statistics(estimations: Mapping[str, Estimation]) -> None:
    """**Raises:** ModelError where fits are not all of the same statistics with the same weights."""
    (first, one), *others = estimations.items()
    for name, other in others:
        terms = one.limited, other.limited
        if terms[0] is None or terms[1] is None or one.options.estimator != other.options.estimator:
            raise ModelError(
                f"{first!r} and {name!r} cannot be compared: they are fits of estimator={one.options.estimator!r} and "
                f"{other.options.estimator!r}. Fit both by the same."
            )
        a, b = (np.asarray(term.target) for term in terms)  # type: ignore[union-attr]
        if terms[0].layout.names != terms[1].layout.names or a.shape != b.shape or not np.allclose(a, b, atol=1e-8):
            raise ModelError(
                f"{first!r} and {name!r} cannot be compared: their thresholds and polychoric covariances differ. Fit both to the "
                "same rows, with the same ordered variables and covariates."
            )


@float64
def difference_test(small: Estimation, large: Estimation) -> LimitedTest:
    """The test of `small` within `large`."""
    found, df = pieces(large.model, large), small.degrees_of_freedom - large.degrees_of_freedom
    statistic = 2.0 * (large.model.value - small.model.value)
    test = LimitedTest(statistic, df, test=small.options.test)
    if not df or small.options.test == "standard":
        return test
    inner, d = _directions(small), _directions(large)
    v = [f * w for f, w in zip(found.share, found.weight, strict=True)]
    count = found.implied.shape[1]
    vd = np.concatenate([one @ d[g * count : (g + 1) * count] for g, one in enumerate(v)])
    h = d.T @ vd
    k = np.linalg.lstsq(d, inner, rcond=None)[0]
    middle = np.linalg.inv(h) - k @ np.linalg.pinv(k.T @ h @ k) @ k.T
    product = vd @ middle @ vd.T
    for g in range(len(found.share)):
        here = slice(g * count, (g + 1) * count)
        product[:, here] = product[:, here] @ (found.gamma[g] / found.share[g])
    return replace(test, trace=float(np.trace(product)), trace_of_square=float(np.sum(product * product.T)))


def _directions(estimation: Estimation) -> np.ndarray:
    """Derivatives of the implied statistics (G S, q) along what nonlinear constraints leave free."""
    delta = pieces(estimation.model, estimation).delta
    flat, jacobian = delta.reshape(-1, delta.shape[-1]), estimation.model.maximum.jacobian
    if jacobian is None or not len(jacobian):
        return flat
    from scipy.linalg import null_space  # slow to import, and few models have constraints

    return flat @ null_space(jacobian)


def chi_square_of(estimation: Estimation) -> float:
    """The uncorrected chi-square, which differences are made of."""
    return max(0.0, -2.0 * estimation.model.value)
