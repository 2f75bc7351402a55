"""Pruning says where it costs fit: edges that are not significant one by one may be so together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import mlsem_jax as ml

pytestmark = pytest.mark.timeout(300)
NAMES = [f"y{i}" for i in range(1, 6)]


def rows(strength: float) -> pd.DataFrame:
    """One factor between few clusters: dense between-cluster partial correlations, each with a large standard error."""
    r = np.random.default_rng(4)
    cluster = np.repeat(np.arange(60), 8)
    between = strength * r.normal(size=(60, 1)) + 0.5 * r.normal(size=(60, 5))
    y = between[cluster] + r.normal(size=(480, 5))
    return pd.DataFrame(y, columns=NAMES).assign(c=cluster)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_prune_that_costs_fit_says_so(recursive):
    full = ml.ml_ggm(rows(0.8), clusters="c").fit()
    with pytest.warns(ml.ModelWarning, match="fits significantly worse than the one it came from"):
        pruned = full.prune(matrices="omega_between", alpha=1e-4, recursive=recursive)
    statistic, df = 2 * (full.loglik - pruned.loglik), full.npar - pruned.npar
    assert chi2.sf(statistic, df) < 0.001
    (said,) = [w for w in pruned.warnings if "significantly worse" in w]
    assert f"likelihood ratio {statistic:.1f} on {df} df" in said
    assert f"{df} in omega_between" in said
    assert said in str(pruned.log)


def test_a_prune_that_costs_nothing_is_silent(recwarn):
    full = ml.ml_ggm(rows(0.0), clusters="c", omega_between="zero").fit()
    pruned = full.prune(alpha=0.01)
    assert pruned.npar < full.npar
    assert not [w for w in pruned.warnings if "significantly worse" in w]
    assert len(pruned.log) == 1
