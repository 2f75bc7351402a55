"""Tails of distributions are scipy's, without the time that importing scipy.stats takes."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2, norm

from mlsem_jax import numerics
from mlsem_jax.inference.fit._fit_indices import noncentrality_limit, rmsea_close

Z = np.array([-9.0, -1.5, 0.0, 0.3, 4.0, 12.0, np.nan])
P = np.array([1e-12, 0.01, 0.5, 0.975])


def test_tails_are_those_of_scipy():
    np.testing.assert_allclose(numerics.normal_tail(Z), norm.sf(Z), rtol=1e-14)
    np.testing.assert_allclose(numerics.normal_cdf(Z), norm.cdf(Z), rtol=1e-14)
    np.testing.assert_allclose(numerics.normal_quantile(P), norm.ppf(P), rtol=1e-14)
    for df in (1, 7, 300):
        np.testing.assert_allclose(numerics.chi_square_tail(30 * Z, df), chi2.sf(30 * Z, df), rtol=1e-13)
        np.testing.assert_allclose(numerics.chi_square_limit(P, df), chi2.isf(P, df), rtol=1e-12)


@pytest.mark.parametrize("probability", [0.05, 0.95])
@pytest.mark.parametrize(("t", "d"), [(300.0, 7), (25.0, 20), (900.0, 300), (5e4, 40)])
def test_the_limit_of_the_noncentrality_is_a_root(t, d, probability):
    got = noncentrality_limit(t, d, probability)
    if ncx2.cdf(t, d, 0.0) < probability:
        assert got == 0
    else:
        want = brentq(lambda x: ncx2.cdf(t, d, x) - probability, 0, 4 * t, xtol=1e-9)
        # the tolerance of the root, 1e-10 of the statistic, and brentq's own
        assert got == pytest.approx(want, abs=2e-10 * t + 2e-9)


@pytest.mark.parametrize("t", [20.0, 60.0, 120.0, 400.0])
def test_close_fit(t):
    """Small tails keep their digits."""
    assert rmsea_close(t, 20, 500, 1) == pytest.approx(ncx2.sf(t, 20, 500 * 20 * 0.05**2), rel=1e-9)


def test_a_fit_does_not_import_scipy_stats():
    code = """
import sys, pandas as pd, mlsem_jax as ml
data = ml.datasets.load_schools()
fit = ml.sem(ml.datasets.SCHOOLS_MODEL, data, cluster="school")
str(fit.summary(fit_measures=True, standardized=True))
slow = ("scipy.stats", "matplotlib", "pyarrow.dataset", "dask")
print([name for name in slow if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
