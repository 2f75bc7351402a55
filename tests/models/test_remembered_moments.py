"""Moments and matrices of a build whose specification was built before: those of one built anew, with the data's own numbers."""

import numpy as np
import pytest

import mlsem_jax as ml
from mlsem_jax.inference.moments import MomentSpace
from mlsem_jax.models import PlainMoments, build, plain_moments

TWO = "level: 1\n f =~ y1 + y2 + y3\n f ~ x\nlevel: 2\n g =~ y1 + y2 + y3\n g ~ w"
ONE = "f =~ y1 + y2 + y3\nf ~ x\ny1 ~~ y2"


def rows(seed):
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(40), 5)
    w, shared = rng.normal(size=40), rng.normal(size=(40, 1))
    x = (1 + seed) * rng.normal(size=200)
    y = (x + 0.5 * w[school])[:, None] + shared[school] + rng.normal(size=(200, 3)) + seed
    return {f"y{i + 1}": y[:, i] for i in range(3)} | {"x": x, "w": w[school], "school": school}


@pytest.mark.parametrize("text", [TWO, ONE, "y1 ~ x"])
@pytest.mark.parametrize("options", [{}, {"fixed_x": False}])
def test_moments_are_those_of_a_structure_built_anew(text, options):
    for seed in (0, 1):
        fit = ml.sem(text, rows(seed), "school" if "level" in text else None, **options)
        model = fit.estimation.model
        fresh = build(model.build.specification.but(), fit.estimation.exogenous)
        for mine, other in zip(
            (
                *plain_moments(model.build).with_jacobian(model.theta),
                plain_moments(model.build).by_parameter(model.natural),
            ),
            (
                *PlainMoments(fresh.structure).with_jacobian(model.theta),
                PlainMoments(fresh.structure).by_parameter(model.natural),
            ),
            strict=True,
        ):
            for a, b in zip(mine.levels, other.levels, strict=True):
                np.testing.assert_array_equal(a.cov, b.cov)
                np.testing.assert_array_equal(a.mean, b.mean)


@pytest.mark.parametrize("text", [TWO, ONE])
def test_derivatives_of_the_free_moments_have_two_ways(text):
    fit = ml.sem(text, rows(2), "school" if "level" in text else None)
    model, space = fit.estimation.model, MomentSpace.of(fit.estimation)
    slow = space.jacobian(model.build.structure, model.natural)
    np.testing.assert_allclose(space.jacobian_of(model.build, model.natural), slow, rtol=1e-12, atol=1e-13)


def test_indices_of_several_data_sets_are_their_own():
    """The model with its candidates is remembered; what its fixed rows hold is the data's."""
    found = [ml.sem(TWO, rows(seed), "school").modification_indices() for seed in (0, 1, 0)]
    assert found[0].equals(found[2])
    assert not found[0].equals(found[1])
