"""Where a factor starts: what instrumental ratios recover, and how far the limits of each kind of start follow a sample."""

import jax.numpy as jnp
import numpy as np
import pytest

from mlsem_jax.estimation.starts._factor_start import PROPER, StartLimits, factor_start
from mlsem_jax.estimation.starts._moment_starts import IMPROPER
from mlsem_jax.numerics import float64

LOADS, UNIQUE = np.array([1.0, 0.7, -1.2, 0.9]), np.array([0.6, 0.5, 0.8, 0.7])
ALL = np.ones(4, bool)
both = pytest.mark.parametrize("xp", [np, jnp])


def one_factor(variance: float) -> np.ndarray:
    return variance * np.outer(LOADS, LOADS) + np.diag(UNIQUE)


@both
@pytest.mark.parametrize("limits", [PROPER, IMPROPER])
@pytest.mark.parametrize("marker", [0, 2])
@float64
def test_a_factor_is_recovered_in_any_units(xp, limits, marker):
    units = np.array([1.0, 30.0, 0.01, 1.0])
    cov = one_factor(0.8) * np.outer(units, units)
    ratio, common = factor_start(xp, xp.asarray(cov), ALL, marker, np.sqrt(np.diag(cov)), limits)
    loads = LOADS * units
    np.testing.assert_allclose(ratio, loads / loads[marker], rtol=1e-12)
    assert float(common) == pytest.approx(0.8 * loads[marker] ** 2, rel=1e-12)


@both
@float64
def test_what_is_not_used_has_no_part_in_it(xp):
    cov = one_factor(0.8)
    cov[3], cov[:, 3] = 5.0, 5.0
    ratio, common = factor_start(xp, xp.asarray(cov), ALL & (np.arange(4) < 3), 0, np.sqrt(np.diag(cov)), PROPER)
    np.testing.assert_allclose(ratio, [*LOADS[:3], 0.0], rtol=1e-12)
    assert float(common) == pytest.approx(0.8, rel=1e-12)


@both
@float64
def test_an_improper_factor_is_followed_where_it_may_be(xp):
    cov, sd = one_factor(-0.3), np.ones(4)
    ratio, common = factor_start(xp, xp.asarray(cov), ALL, 0, sd, IMPROPER)
    np.testing.assert_allclose(ratio, LOADS, rtol=1e-12)
    assert float(common) == pytest.approx(-0.3, rel=1e-12)
    assert float(factor_start(xp, xp.asarray(cov), ALL, 0, sd, PROPER)[1]) == pytest.approx(0.1 * cov[0, 0])


@both
@float64
def test_a_marker_without_covariances_and_a_lone_indicator(xp):
    cov = one_factor(0.8)
    cov[0, 1:] = cov[1:, 0] = [1e-7, -1e-7, 1e-7]
    sd = np.sqrt(np.diag(cov))
    ratio, _ = factor_start(xp, xp.asarray(cov), ALL, 0, sd, PROPER)
    np.testing.assert_allclose(ratio, [1.0, *(np.array([1, -1, 1]) * sd[1:] / sd[0])], rtol=1e-12)
    wide = StartLimits((0.0, 4.0), None, None)
    assert (np.abs(factor_start(xp, xp.asarray(cov), ALL, 0, sd, wide)[0] * sd[0] / sd) <= 4.0 + 1e-12).all()
    for limits in (PROPER, IMPROPER):
        ratio, common = factor_start(xp, xp.asarray(cov), np.arange(4) == 2, 2, sd, limits)
        assert (np.asarray(ratio) == [0, 0, 1, 0]).all()
        assert float(common) == pytest.approx(0.5 * cov[2, 2], rel=1e-12)
