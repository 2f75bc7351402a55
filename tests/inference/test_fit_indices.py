"""Fit indices as functions of chi-squares: values by hand, distributions against scipy's quantiles, edges."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from mlsem_jax.inference.fit import _fit_indices as index
from mlsem_jax.inference.fit._srmr import floored, srmr_of


def test_values_by_hand():
    # T = 30, d = 10, T0 = 230, d0 = 30: T - d = 20, T0 - d0 = 200
    assert index.cfi(20, 200) == pytest.approx(0.9)
    assert index.rni(20, 200) == pytest.approx(0.9)
    assert index.tli(20, 10, 200, 30) == pytest.approx(1 - 2.0 / (200 / 30))
    assert index.nfi(30, 230) == pytest.approx(200 / 230)
    assert index.pnfi(30, 10, 230, 30) == pytest.approx(200 / 230 / 3)
    assert index.ifi(30, 10, 230) == pytest.approx(200 / 220)
    assert index.rfi(30, 10, 230, 30) == pytest.approx((230 / 30 - 3) / (230 / 30))
    assert index.rmsea(30, 10, 500, 1) == pytest.approx(math.sqrt(2 / 500))
    assert index.rmsea(30, 10, 500, 4) == pytest.approx(2 * math.sqrt(2 / 500))
    assert index.gfi(20, 500, 6) == pytest.approx(3000 / 3040)
    assert index.aic(-100.0, 7) == 214
    assert index.bic(-100.0, 7, math.e**2) == pytest.approx(214)
    assert index.bic_adjusted(-100.0, 7, 24 * math.e - 2) == pytest.approx(207)
    assert index.aic_corrected(-100.0, 7, 16) == pytest.approx(214 + 2 * 7 * 8 / 8)
    assert index.ebic(-100.0, 7, math.e**2, 6, 0.5) == pytest.approx(214 + 14 * math.log(6))


def test_better_than_expected_fit():
    assert index.cfi(-3, 200) == 1
    assert index.rni(-3, 200) > 1
    assert index.tli(-3, 10, 200, 30) > 1
    assert index.rmsea(7, 10, 500, 1) == 0
    assert index.gfi(-3, 500, 6) == 1


def test_no_degrees_of_freedom():
    assert index.cfi(0.0, 200) == 1
    assert index.tli(0.0, 0, 200, 30) == 1
    assert index.rfi(0.0, 0, 230, 30) == 1
    assert index.rmsea(0.0, 0, 500, 1) == 0
    assert index.rmsea_limit(0.0, 0, 500, 1, 0.05) == 0
    for test in (
        index.pvalue,
        lambda t, d: index.rmsea_close(t, d, 500, 1),
        lambda t, d: index.rmsea_not_close(t, d, 500, 1),
    ):
        assert math.isnan(test(0.0, 0))


def test_baseline_that_fits_perfectly():
    assert index.cfi(0.0, 0.0) == 1
    assert index.cfi(0.0, -2.0) == 1
    assert math.isnan(index.nfi(0.0, 0.0))


@pytest.mark.parametrize("t", [12.0, 60.0, 1e3, 1e6, 1e9])
@pytest.mark.parametrize("d", [1, 10, 1000])
def test_limits_are_quantiles(t, d):
    for probability in (0.95, 0.05):
        limit = index.noncentrality_limit(t, d, probability)
        if limit == 0:
            assert chi2.cdf(t, d) < probability
        else:
            # brentq stops at 1e-10 of T; the distribution has a standard deviation of 2 sqrt(T) there
            assert ncx2.cdf(t, d, limit) == pytest.approx(probability, abs=1e-5)


def test_interval_holds_the_estimate():
    for t in np.geomspace(11, 1e5, 9):
        low, high = (index.rmsea_limit(t, 10, 800, 2, p) for p in (0.95, 0.05))
        assert low <= index.rmsea(t, 10, 800, 2) <= high


def test_tests_of_close_fit():
    n, d, t = 500, 10, 30.0
    assert index.rmsea_close(t, d, n, 1) == pytest.approx(ncx2.sf(t, d, n * d * 0.05**2))
    assert index.rmsea_not_close(t, d, n, 2) == pytest.approx(ncx2.cdf(t, d, n * d * 0.08**2 / 2))
    assert index.rmsea_close(0.0, d, n, 1) == 1
    assert index.rmsea_not_close(0.0, d, n, 1) == 0
    assert index.rmsea_close(1e9, d, n, 1) == 0
    # at the limits the two tests are at 5 %
    upper = index.rmsea_limit(t, d, n, 1, 0.05)
    assert index.rmsea_not_close(t, d, n, 1, value=upper) == pytest.approx(0.05, abs=1e-8)


def test_normal_approximation_of_the_noncentral_distribution(monkeypatch):
    exact = index.noncentral_cdf(1100.0, 10, 1000.0)
    monkeypatch.setattr(index, "noncentral_chi_square", lambda *_: math.nan)
    # Sankaran's approximation: three decimals at this noncentrality
    assert index.noncentral_cdf(1100.0, 10, 1000.0) == pytest.approx(exact, abs=1e-3)


def test_scaled_limits():
    # E(T) = c d: the population index of T = 60 with c = 1.5 and the plain one of T / c differ by sqrt(c)
    plain = index.rmsea(40.0, 10, 500, 1)
    assert index.rmsea(60.0, 10, 500, 1, c=1.5) == pytest.approx(math.sqrt(1.5) * plain)
    assert index.rmsea_limit(40.0, 10, 500, 1, 0.05, c=1.5) == pytest.approx(
        math.sqrt(1.5) * index.rmsea_limit(40.0, 10, 500, 1, 0.05)
    )
    assert math.isnan(index.rmsea_limit(math.nan, 10, 500, 1, 0.05))


def test_srmr_of_two_matrices():
    sample, implied = np.array([[4.0, 1.2], [1.2, 1.0]]), np.array([[2.0, 0.0], [0.0, 9.0]])
    assert srmr_of(sample, implied) == pytest.approx(math.sqrt(0.6**2 / 3))
    assert srmr_of(sample, 3 * sample) == pytest.approx(0.0, abs=1e-15)
    assert math.isnan(srmr_of(np.diag([1.0, -0.1]), implied))


def test_floor_of_eigenvalues():
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_allclose(np.linalg.eigvalsh(floored(indefinite, np.eye(2))), [1e-6, 3.0], atol=1e-12)
    # a matrix that is only singular, as of a between model without residual variances, stays as it is
    for matrix in (np.eye(2), np.ones((2, 2)), 1e-9 * np.ones((2, 2))):
        np.testing.assert_array_equal(floored(matrix, matrix), matrix)
