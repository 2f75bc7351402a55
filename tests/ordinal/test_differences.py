"""Differences of nested fits by weighted least squares, beside lavaan 0.6-14's lavTestLRT, and steps of invariance."""

import functools
import warnings

import numpy as np
import pytest
from test_delta import FOUR, two_groups

import mlsem_jax as ml


@functools.cache
def fitted(*equal: str, **options) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.cfa(FOUR, two_groups(), group="g", group_equal=equal, **{"ordered": True} | options)


@pytest.mark.timeout(300)
def test_lavaans_differences():
    """lavTestLRT(configural, thresholds, both): satorra.2000, scaled and shifted."""
    fits = (fitted(), fitted("thresholds"), fitted("thresholds", "loadings"))
    table = ml.lrt(*fits)
    np.testing.assert_allclose(table["Chisq"], [0.186107262, 2.297496112, 4.119494393], rtol=1e-5)
    np.testing.assert_allclose(table["Chisq diff"][1:], [3.09758263, 2.78054879], rtol=1e-4)
    np.testing.assert_allclose(table["Pr(>Chisq)"][1:], [0.37682319, 0.42671195], rtol=1e-4)
    assert table["Df diff"][1:].tolist() == [3, 3]
    # whatever the units of latent responses
    other = ml.lrt(fitted(parameterization="delta"), fits[2])
    assert other["Chisq diff"].iloc[1] == pytest.approx(ml.lrt(fits[0], fits[2])["Chisq diff"].iloc[1], rel=1e-5)


@pytest.mark.timeout(300)
def test_against_the_saturated_model_it_is_the_models_own_test():
    """With configural fits of three items, which reproduce the statistics, U of the difference is U of the model."""
    table = two_groups()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        large, small = (
            ml.cfa("f =~ u1 + u2 + u3", table, ordered=True, group="g", group_equal=equal)
            for equal in ((), ("thresholds", "loadings"))
        )
    measures = small.fit_measures()
    found = ml.lrt(large, small)["Chisq diff"].iloc[1]
    assert found == pytest.approx(measures["chisq.scaled"], rel=1e-5)


@pytest.mark.timeout(300)
def test_steps_of_invariance():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ml.invariance(FOUR, two_groups(), group="g", ordered=True)
    assert found.table["df"].tolist() == [4, 7, 10, 14]
    assert found.table["chisq.scaled"]["scalar"] == pytest.approx(7.055893, rel=1e-4)
    assert found.failed == "strict"
    tests = found.score_tests
    assert (tests["op"] == "~~").all()
    assert len(tests) == 4


@pytest.mark.timeout(300)
def test_what_cannot_be_compared():
    with pytest.raises(ml.ModelError, match="are fits of estimator='WLSMV' and 'ULSMV'"):
        ml.lrt(fitted(), fitted("thresholds", estimator="ULSMV"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = ml.cfa(FOUR, two_groups().iloc[5:], group="g", ordered=True, group_equal="thresholds")
    with pytest.raises(ml.ModelError, match="different rows"):
        ml.lrt(fitted(), part)
