"""Values with given skewness, kurtosis and covariances: published coefficients, moments in large samples, what is refused."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import kurtosis, skew
from tiny import MODEL, SIZES, THETA, tiny_model

import mlsem_jax as ml
from mlsem_jax.data._vale_maurelli import cubics, fleishman, margins_of

pytestmark = pytest.mark.timeout(240)

COV = np.array([[1.0, 0.5, -0.3], [0.5, 2.0, 0.1], [-0.3, 0.1, 0.5]])
NAMES = ("u", "v", "w")


@pytest.mark.parametrize(
    ("asked", "published"),
    [
        # Fleishman (1978), table 1
        ((1.75, 3.75), (0.92966, 0.39950, -0.03647)),
        ((0.0, 0.0), (1.0, 0.0, 0.0)),
        ((0.0, 3.75), (0.74802, 0.0, 0.07787)),
    ],
)
def test_coefficients_are_those_of_the_tables(asked, published):
    a, *rest = fleishman(*asked)
    assert rest == pytest.approx(published, abs=2e-5)
    assert a == -rest[1]
    mirrored = fleishman(-asked[0], asked[1])
    assert mirrored == pytest.approx([-a, rest[0], -rest[1], rest[2]], abs=1e-9)


@pytest.mark.parametrize("asked", [(2.0, 7.0), (-1.0, 1.5), (0.5, -0.5), (0.0, 20.0), (3.0, 21.0)])
def test_a_cubic_has_the_moments_asked_for(asked):
    """By quadrature, exact for polynomials."""
    z, weight = np.polynomial.hermite_e.hermegauss(20)
    x = np.polynomial.polynomial.polyval(z, fleishman(*asked))
    mean, two, three, four = (float(weight @ x**k / weight.sum()) for k in (1, 2, 3, 4))
    assert (mean, two, three, four - 3) == pytest.approx((0, 1, *asked), abs=1e-7)


def test_covariances_and_margins_in_a_large_sample():
    made = cubics(COV, np.array([[2.0, -1.0, 0.0], [7.0, 2.0, 3.0]]), NAMES, 1)
    with jax.enable_x64(True):
        x = np.asarray(made.draw(jax.random.key(1), 400_000, np.float64))
    np.testing.assert_allclose(np.cov(x.T), COV, atol=0.02)
    np.testing.assert_allclose(skew(x), [2, -1, 0], atol=0.06)
    np.testing.assert_allclose(kurtosis(x), [7, 2, 3], atol=0.6)


def test_rows_of_two_levels_keep_the_moments_of_the_model():
    model = tiny_model()
    rows = ml.simulate(model, THETA, 1, [10] * 40_000, rows=True, skewness={"y1": 2.0}, kurtosis={"y1": 7.0})
    values = np.asarray(rows.values[0])
    moments = model(THETA)
    total = np.asarray(moments.within_cov[0] + moments.between_cov[0])
    np.testing.assert_allclose(np.cov(values.T), total, atol=0.04)
    np.testing.assert_allclose(values.mean(axis=0), np.asarray(moments.mean[0]), atol=0.03)
    share = np.array([float(np.asarray(m[0])[0, 0]) for m in (moments.within_cov, moments.between_cov)]) / total[0, 0]
    found = skew(values)
    assert found[0] == pytest.approx(2 * (share**1.5).sum(), abs=0.1)
    assert found[1:] == pytest.approx([0, 0], abs=0.06)


def test_zero_is_the_normal_and_data_set_i_is_its_own():
    model = tiny_model()
    assert margins_of(0, {"y1": 0.0}, model.variables) is None
    plain = ml.simulate(model, THETA, 3, SIZES, 2, rows=True)
    same = ml.simulate(model, THETA, 3, SIZES, 2, rows=True, skewness=0.0, kurtosis=0.0)
    np.testing.assert_array_equal(plain.values, same.values)
    two = ml.simulate(model, THETA, 3, SIZES, 2, rows=True, kurtosis=3.0)
    later = ml.simulate(model, THETA, 3, SIZES, 1, rows=True, kurtosis=3.0, first=1)
    np.testing.assert_allclose(two.values[1], later.values[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skewness": 2}, "kurtosis must be at least about 5.34"),
        ({"skewness": {"y9": 1}, "kurtosis": 2}, "'y9', which the model does not have"),
        ({"skewness": "much"}, "skewness must be a number"),
        ({"kurtosis": float("nan")}, "kurtosis must be a number"),
        ({"kurtosis": 3, "distribution": "t"}, "give one of them"),
        ({"kurtosis": 3, "rows": False}, "pass rows=True"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ml.DataError, match=words):
        ml.simulate(tiny_model(), THETA, 1, SIZES, **{"rows": True, **options})


def test_correlations_out_of_reach_name_the_variables():
    with pytest.raises(ml.DataError, match=r"level 2 u, v correlate -0.95 .* -0.73 at most"):
        cubics(np.array([[1, -0.95], [-0.95, 1]]), np.array([[2.0, 2.0], [7.0, 7.0]]), NAMES[:2], 2)


def test_a_study_has_them_as_conditions():
    values = dict(zip(tiny_model().names, THETA, strict=True))
    design = ml.grid(clusters=30, size=5, skewness=[0, 2], kurtosis=[7])
    found = ml.study(design, MODEL, values, n_datasets=9, key=1)
    assert list(found.rates()["skewness"]) == [0, 2]
    assert (found.cells[0].estimates != found.cells[1].estimates).any()
    with pytest.raises(ml.DataError, match=r"Row 1 of the design .*kurtosis must be at least"):
        ml.study(ml.grid(clusters=30, size=5, skewness=[0, 2], kurtosis=[1]), MODEL, values, n_datasets=2)
    with pytest.raises(ml.DataError, match=r"Row 0 of the design .*give one of them"):
        ml.study(ml.grid(clusters=30, size=5, kurtosis=1, distribution="t"), MODEL, values, n_datasets=2)
