"""The scaling factor of log-likelihoods with random slopes, where there is no chi-square, and the tests made of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import mlsem_jax as ml
from mlsem_jax import inference

pytestmark = pytest.mark.timeout(300)

MODEL = "level: 1\n y ~ rv('s')*x\nlevel: 2\n s ~ z\n y ~~ s\n"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    r = np.random.default_rng(3)
    cluster = np.repeat(np.arange(60), 8)
    x, z = r.normal(size=480), r.normal(size=60)
    slope = 0.4 + 0.3 * z + 0.4 * r.normal(size=60)
    y = slope[cluster] * x + 0.5 * r.normal(size=60)[cluster] + r.standard_t(5, size=480)
    return pd.DataFrame({"y": y, "x": x, "z": z[cluster], "cl": cluster})


def fits(rows, **options):
    texts = (MODEL, MODEL.replace("s ~ z", "s ~ 0*z"))
    return [ml.sem(text, rows, cluster="cl", estimator="MLR", **options) for text in texts]


def trace(fit) -> float:
    a, b = (inference.information(fit.estimation.model, fit.estimation, kind) for kind in ("observed", "first.order"))
    return float(np.trace(np.linalg.solve(a, b)))


@pytest.mark.parametrize("test", ["yuan.bentler.mplus", "yuan.bentler"])
def test_scaling_factor_and_scaled_difference_by_their_formulas(rows, test):
    large, small = fits(rows, test=test)
    for fit in (large, small):
        got = fit.fit_measures()
        assert got["scaling.factor.h0"] == pytest.approx(trace(fit) / fit.npar, rel=1e-6)
        assert not [name for name in got.index if "chisq" in name]
    table = ml.lrt(large=large, small=small)
    factor = trace(large) - trace(small)
    statistic = 2 * (large.loglik - small.loglik) / factor
    assert table["scaling.factor"].iloc[1] == pytest.approx(factor, rel=1e-6)
    assert table["Chisq diff"].iloc[1] == pytest.approx(statistic, rel=1e-6)
    assert table["Pr(>Chisq)"].iloc[1] == pytest.approx(chi2.sf(statistic, 1), rel=1e-5)
    assert table["Df"].isna().all(), "there is nothing that the degrees of freedom could count"
    assert "Scaling correction factor" in str(large.summary(fit_measures=True))


def test_plain_fits_have_none(rows):
    fit = ml.sem(MODEL, rows, cluster="cl")
    assert list(fit.fit_measures().index) == ["npar", "logl", "aic", "bic", "ntotal", "bic2"]
