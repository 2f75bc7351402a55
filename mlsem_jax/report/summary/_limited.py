"""What a summary says of fits by weighted least squares, and of others in the same places."""

from __future__ import annotations

import numpy as np

from mlsem_jax.report._results import Results

_WEIGHTS = {"WLS": "inverse of Gamma", "ULSMV": "identity"}


def limited_facts(results: Results) -> list[tuple[str, ...]]:
    """The scale that thresholds and loadings are in, and what is fitted."""
    estimation, term = results.estimation, results.estimation.limited
    count = 0 if term is None else term.layout.total * len(term.rows)
    return [
        ("Link", "probit"),
        ("Parameterization", parameterization(results)),
        ("Number of statistics", str(count)),
        ("Weight matrix", _WEIGHTS.get(estimation.options.estimator, "diagonal of Gamma, inverted")),
    ]


def parameterization(results: Results) -> str:
    """What is the unit of latent responses."""
    delta = any(row.is_scale for row in results.specification.parameters)
    return "delta (variance 1)" if delta else "theta (residual variance 1)"


def divisor(results: Results) -> tuple[str, str]:
    """What RMSEA divides by."""
    estimation = results.estimation
    if estimation.limited is None:
        return "Divisor in RMSEA and BIC: rows", f"{estimation.ntotal:.10g}"
    groups = len(estimation.limited.rows)
    return "Divisor in RMSEA: rows less groups", f"{estimation.ntotal - groups:.10g}"


def still_to_gain(results: Results) -> str:
    return (
        "Log-likelihood still to gain (decrement)"
        if results.estimation.limited is None
        else "Half chi-square still to lose (decrement)"
    )


def incomplete_answers(results: Results) -> tuple[float, int]:
    """Rows with missing values of level 1 and the number of patterns, of data whose missing values are left out pairwise."""
    data = results.estimation.data
    if not data.has_rows:  # a fit read from a file
        return np.nan, 0
    patterns = np.isnan(data.values[:, ~np.asarray(data.between_only, bool)])
    return float(patterns.any(axis=1).sum()), len(np.unique(patterns, axis=0))
