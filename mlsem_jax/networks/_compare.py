"""Several fits side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax.fits import Fit, check_fit
from mlsem_jax.numerics import chi_square_tail
from mlsem_jax.report import as_table

if TYPE_CHECKING:
    import pandas as pd


def compare(*unnamed: Fit, **fits: Fit) -> pd.DataFrame:
    """Fits of the same data, from the fewest degrees of freedom on: DF, AIC, BIC, RMSEA, chi-square, and the likelihood-ratio
    test of each against the one before it, which it must be nested in. RMSEA and BIC count clusters. Fits given by keyword go by
    that name in the table, the others by their place (`fit 1`).

    Raises ModelError for fewer than two fits, models that are not fitted, and fits of different data.
    """
    import warnings

    import pandas as pd

    fits = {f"fit {i}": fit for i, fit in enumerate(unnamed, 1)} | fits
    _check(fits)
    rows = []
    for name, fit in fits.items():
        measures = fit.fit_measures(convention="psychonetrics")
        values = [measures.get(column, np.nan) for column in ("df", "aic.ll", "bic", "rmsea", "chisq")]
        rows.append((name, *values, fit.loglik))
    columns = ["model", "DF", "AIC", "BIC", "RMSEA", "Chisq", "loglik"]
    table = pd.DataFrame(rows, columns=columns).sort_values("DF", kind="stable", ignore_index=True)
    difference = -2 * np.diff(table.pop("loglik"), prepend=np.nan)
    steps = np.diff(table["DF"], prepend=np.nan)
    table["Chisq_diff"], table["DF_diff"] = difference, steps
    with np.errstate(invalid="ignore"):
        table["p_value"] = np.where(
            steps > 0, chi_square_tail(np.maximum(difference, 0.0), np.maximum(steps, 1)), np.nan
        )
    if np.any((difference[1:] < -1e-6) & (steps[1:] > 0)):
        warnings.warn(
            "A chi-square difference is negative: these models are not nested, or one of them is not at its maximum.",
            ModelWarning,
            stacklevel=2,
        )
    return as_table(table)


def _check(fits: dict[str, Fit]) -> None:
    for name, fit in fits.items():
        check_fit(fit, f"compare() takes fits; {name!r}")
    if len(fits) < 2:
        raise ModelError("compare() takes two fits or more, by name: compare(full=fit, sparse=fit.prune()).")
    names = list(fits)
    first = fits[names[0]]
    for name in names[1:]:
        other = fits[name]
        if (other.nobs, other.nclusters) != (first.nobs, first.nclusters):
            raise ModelError(
                f"{names[0]} and {name} were fitted to different data ({first.nobs} and {other.nobs} rows in "
                f"{first.nclusters} and {other.nclusters} clusters)."
            )
