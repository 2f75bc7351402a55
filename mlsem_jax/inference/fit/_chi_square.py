"""Likelihood-ratio tests of a fit: the model and the baseline against the unrestricted model, plain and scaled."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

from mlsem_jax._errors import ConvergenceWarning, ModelError, ModelWarning
from mlsem_jax.estimation import Estimation, Fitted, moments_of_data
from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.variance import Scaling, model_scaling, test_scaling, unrestricted_scores

# of a log-likelihood, relative: sums over rows and clusters in another order
ROUNDING = 1e-13


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square statistic T with its degrees of freedom d, and the scaling factor c with E(T) = c d (1: not scaled)."""

    statistic: float
    df: int
    factor: float = 1.0

    @property
    def pvalue(self) -> float:
        """Upper tail of the chi-square distribution of T; NaN without degrees of freedom."""
        return index.pvalue(self.statistic, self.df)

    @property
    def scaled(self) -> ChiSquare:
        """T / c as a plain chi-square. NaN where c is not positive; T itself, 0 but for rounding, without degrees of freedom."""
        if not self.df:
            return ChiSquare(self.statistic, 0)
        return ChiSquare(self.statistic / self.factor if self.factor > 0 else math.nan, self.df)


@dataclass(frozen=True)
class RobustTests:
    """The tests of the model and the baseline with their scaling factors; h1, h0: those of the two log-likelihoods, if any."""

    model: ChiSquare
    baseline: ChiSquare | None
    h1: Scaling | None = None
    h0: Scaling | None = None


def unrestricted(estimation: Estimation) -> Fitted:
    """h1, or an error in words."""
    if not estimation.statistics.saturated:
        raise ModelError(f"The test needs an unrestricted model; {estimation.why_unsaturated}.")
    if estimation.h1 is None:
        raise ModelError(
            " ".join(("There is no unrestricted model to test against: fit with h1=True.", *estimation.notes))
        )
    return estimation.h1


def chi_square(estimation: Estimation) -> ChiSquare:
    """Likelihood ratio of the model against the unrestricted model; 0 where the two differ by rounding."""
    h1, model = unrestricted(estimation), estimation.model
    gain = h1.value - model.value
    return ChiSquare(2 * gain if gain > ROUNDING * abs(h1.value) else 0.0, estimation.degrees_of_freedom)


def baseline_chi_square(estimation: Estimation) -> ChiSquare | None:
    """Likelihood ratio of the independence baseline; None where the fit has no baseline."""
    if estimation.baseline is None:
        return None
    df = moments_of_data(estimation.model.build.specification) - estimation.baseline.build.free
    return ChiSquare(max(0.0, 2 * (unrestricted(estimation).value - estimation.baseline.value)), df)


def robust_tests(estimation: Estimation) -> RobustTests:
    """Yuan-Bentler tests of the model and the baseline by the fit's `test` option, computed once and kept with the estimation.

    Warns where the scaling factor of the model is not positive, which happens in small samples: there is no scaled test then.
    """
    if "robust_tests" not in estimation.derived:
        estimation.derived["robust_tests"] = _robust_tests(estimation)
    return estimation.derived["robust_tests"]


def _robust_tests(estimation: Estimation) -> RobustTests:
    h1 = unrestricted_scores(estimation)
    plain, factor = chi_square(estimation), test_scaling(estimation.model, estimation, h1)
    rows = estimation.data.single and not estimation.data.clustered
    if plain.df and not factor > 0:
        warnings.warn(
            f"The scaling factor of the robust chi-square is {factor:.3g}, not positive, so there is no scaled test: too few "
            f"{'rows' if rows else 'clusters'} for the degrees of freedom. Use the plain chi-square or a bootstrap.",
            ModelWarning,
            stacklevel=5,
        )
    baseline = baseline_chi_square(estimation)
    if baseline is not None and estimation.baseline is not None:
        baseline = replace(baseline, factor=test_scaling(estimation.baseline, estimation, h1))
    return RobustTests(replace(plain, factor=factor), baseline, h1.scaling, model_scaling(estimation.model, estimation))


def check_converged(estimation: Estimation) -> None:
    """Chi-squares exist at maxima only: an error for the model, a warning for h1 and the baseline."""
    status = estimation.status
    if not status.converged:
        raise ModelError(f"There are no fit measures. {status.sentence} {status.advice}".strip())
    for name, fitted in (("unrestricted model", estimation.h1), ("baseline model", estimation.baseline)):
        if fitted is not None and not fitted.maximum.status.converged:
            warnings.warn(
                f"The {name}, which fit measures compare with, did not converge: {fitted.maximum.status.sentence} "
                "Do not trust chi-square and the indices made of it.",
                ConvergenceWarning,
                stacklevel=4,
            )
