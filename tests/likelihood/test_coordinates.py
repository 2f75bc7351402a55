"""Information in coordinates that make every cluster size diagonal equals information summed over sizes by inverses."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_cases
from hypothesis import given

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.likelihood import CompleteTerm, Statistics
from mlsem_jax.models import Moments
from mlsem_jax.numerics import float64
from mlsem_jax.observed import SizePools, cluster_statistics, reduce


class Curve(eqx.Module):
    """Moments as a quadratic function of three parameters: base + sum of t_k along_k + t_0 t_1 bend."""

    base: Moments
    along: list[Moments]
    bend: Moments
    between_only: jax.Array
    basis: jax.Array
    linear = False

    def natural(self, theta):
        return self.basis @ theta

    def moments(self, t):
        def element(m, a, b, c, d):
            return m + t[0] * a + t[1] * b + t[2] * c + t[0] * t[1] * d

        return jax.tree.map(element, self.base, *self.along, self.bend)

    def __call__(self, theta):
        return self.moments(self.natural(theta))


kernels = {
    name: jax.jit(getattr(likelihood, name)) for name in ("evaluate", "expected_information", "observed_information")
}


def relative(a, b) -> float:
    """Largest difference of two matrices in units of the geometric mean of the diagonals of the second."""
    scale = np.sqrt(np.abs(np.diag(b)))
    return float(np.max(np.abs(np.asarray(a) - b) / np.outer(scale, scale)))


@pytest.mark.timeout(120)
@given(random_cases.cases())
@float64
def test_equal_to_the_sums_over_sizes(case):
    clusters = cluster_statistics(case.values, case.cluster, case.group)
    complete = reduce(clusters, random_cases.G)
    # nothing pooled, so that the metric is the expected information
    statistics = Statistics((CompleteTerm(complete),), SizePools(complete.size, complete.count))
    steps = [random_cases.direction(case) for _ in range(4)]
    structure = Curve(case.moments, steps[:3], steps[3], jnp.asarray(case.between_only, float), jnp.eye(3))
    theta = jnp.zeros(3)
    at = likelihood.coordinates(case.moments, case.between_only)
    plain = np.asarray(kernels["observed_information"](structure, theta, statistics))
    ours = np.asarray(kernels["observed_information"](structure, theta, statistics, at))
    expected = np.asarray(kernels["expected_information"](structure, theta, statistics))
    # an indefinite Sigma_B puts some Omega within a factor of 10 of singular: inverses lose two of sixteen digits, squared
    scale = np.sqrt(np.diag(expected))
    assert np.max(np.abs(ours - plain) / np.outer(scale, scale)) < 1e-9
    assert relative(kernels["expected_information"](structure, theta, statistics, at), expected) < 1e-9
    one, other = (kernels["evaluate"](structure, theta, statistics, *more) for more in ((), (at,)))
    assert relative(other.metric, np.asarray(one.metric)) < 1e-9
    assert float(other.value) == pytest.approx(float(one.value), rel=1e-12)
    np.testing.assert_allclose(other.gradient, one.gradient, rtol=1e-10)


@float64
def test_no_coordinates_where_there_is_no_likelihood():
    case = random_cases.make(1, (0, 0, 0, 1, 2), "definite")
    broken = np.array(case.moments.within_cov)
    broken[1, 0, 0] = -1.0
    assert likelihood.coordinates(eqx.tree_at(lambda m: m.within_cov, case.moments, broken), case.between_only) is None
    broken[1, 0, 0] = np.nan
    assert likelihood.coordinates(eqx.tree_at(lambda m: m.within_cov, case.moments, broken), case.between_only) is None


@pytest.mark.timeout(240)
def test_a_fit_with_many_sizes_uses_them_and_one_with_few_does_not(monkeypatch):
    schools = ml.datasets.load_schools()
    model = "level: 1\n  m =~ math1 + math2 + math3\nlevel: 2\n  a =~ math1 + math2 + math3\n"
    # of compiled programs; the likelihood in NumPy has them for any sizes
    monkeypatch.setattr(likelihood.ClosedForm, "of", lambda *_: None)
    asked = []
    found = likelihood.coordinates
    monkeypatch.setattr(likelihood, "coordinates", lambda *given: asked.append(1) or found(*given))
    sizes = schools.groupby("school").size()
    ml.sem(model, schools, cluster="school", h1=False, baseline=False)
    assert asked
    asked.clear()
    common = sizes.value_counts().index[:3]
    few = schools[schools.school.isin(sizes.index[sizes.isin(common)])]
    ml.sem(model, few, cluster="school", h1=False, baseline=False)
    assert not asked
