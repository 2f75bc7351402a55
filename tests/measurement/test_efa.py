"""Rotated factors: criteria, rotation, standard errors against a numerical delta method, blocks in a larger model, bad inputs."""

import functools
import itertools
import warnings
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.inference import vcov_natural
from mlsem_jax.inference.variance._resampled import resampler
from mlsem_jax.measurement._criteria import criterion_of
from mlsem_jax.measurement._exploratory import _rotate_block, transformed
from mlsem_jax.measurement._rotation import rotate, stationarity
from mlsem_jax.models import Rotation, unrotated
from mlsem_jax.numerics import float64
from mlsem_jax.report import to_lavaan
from mlsem_jax.syntax import SyntaxOptions, parse, specify

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning"),
]
ITEMS = [f"y{i}" for i in range(1, 7)]
TARGET = np.array([[np.nan, 0]] * 3 + [[0, np.nan]] * 3)
ROTATIONS = [
    Rotation("geomin"),
    Rotation("geomin", epsilon=0.05, orthogonal=True),
    Rotation("oblimin"),
    Rotation("oblimin", gamma=-0.5),
    Rotation("varimax", orthogonal=True, kaiser=True),
    Rotation("target", target=tuple(map(tuple, TARGET))),
]
BLOCK = 'efa("a")*f1 + efa("a")*f2 =~ y1 + y2 + y3 + y4 + y5 + y6'


def name_of(rotation: Rotation) -> str:
    return f"{rotation.criterion} {rotation.gamma or ''}{' orthogonal' * rotation.orthogonal}"


@functools.cache
def rows(clusters: int = 80) -> pd.DataFrame:
    """Two correlated factors within, two between, clusters of 6."""
    rng = np.random.default_rng(7)
    cluster = np.repeat(np.arange(clusters), 6)
    loadings = np.array([[0.9, 0.0], [0.8, 0.1], [0.7, 0.2], [0.0, 0.9], [-0.1, 0.8], [0.2, 0.7]])
    root = np.linalg.cholesky([[1, 0.4], [0.4, 1]])
    within = rng.normal(size=(len(cluster), 2)) @ root.T @ loadings.T + 0.6 * rng.normal(size=(len(cluster), 6))
    between = 0.6 * rng.normal(size=(clusters, 2)) @ root.T @ loadings.T + 0.3 * rng.normal(size=(clusters, 6))
    data = pd.DataFrame(within + between[cluster], columns=ITEMS)
    return data.assign(c=cluster, x=0.3 * data["y1"] + rng.normal(size=len(data)), g=np.where(cluster % 2, "a", "b"))


@functools.cache
def single(rotation: str = "geomin", **options):
    return ml.efa(rows(), 2, ITEMS, rotation=rotation, **options)


def matrix(fit, level: int = 1, column: str = "est") -> np.ndarray:
    table = fit.parameter_estimates()
    table = table[(table["op"] == "=~") & (table["level"] == level)]
    factors = list(dict.fromkeys(table["lhs"]))
    return table.pivot(index="rhs", columns="lhs", values=column).loc[ITEMS, factors].to_numpy()


@pytest.mark.parametrize("rotation", ROTATIONS, ids=name_of)
def test_criteria_have_their_gradients(rotation):
    x = np.random.default_rng(1).normal(size=(6, 2))
    criterion = criterion_of(rotation)
    slope = criterion(x)[1]
    for i, j in itertools.product(range(6), range(2)):
        step = np.zeros((6, 2))
        step[i, j] = 1e-6
        assert (criterion(x + step)[0] - criterion(x - step)[0]) / 2e-6 == pytest.approx(slope[i, j], abs=1e-7)


@pytest.mark.parametrize("rotation", ROTATIONS, ids=name_of)
def test_the_end_is_stationary_and_no_start_ends_lower(rotation):
    a = np.random.default_rng(2).normal(size=(6, 2))
    found = rotate(a, rotation)
    l, phi = found.loadings, found.correlations
    np.testing.assert_allclose(l @ phi @ l.T, a @ a.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(phi), 1.0)
    assert np.abs(stationarity(l, phi, rotation)).max() < 1e-10
    assert found.value <= found.minima[0] + 1e-9
    if rotation.orthogonal:
        np.testing.assert_allclose(phi, np.eye(2), atol=1e-12)
    # the same from any other rotation of the same factors
    turned = rotate(a @ np.linalg.qr(np.random.default_rng(3).normal(size=(2, 2)))[0], rotation)
    np.testing.assert_allclose(turned.loadings, l, atol=1e-6)


def test_sign_and_order():
    loadings = rotate(-rows()[ITEMS].cov().to_numpy()[:, [4, 0]], Rotation()).loadings
    assert (loadings.sum(0) > 0).all()
    assert (np.diff(np.abs(loadings).argmax(0)) > 0).all()


@pytest.mark.parametrize("rotation", ["geomin", "oblimin", "varimax", "target"])
def test_rotation_leaves_the_likelihood_alone(rotation):
    options = {"rotation_args": {"target": TARGET}} if rotation == "target" else {}
    fit = ml.efa(rows(), 2, ITEMS, rotation=rotation, **options)
    free = ml.sem(
        "f1 =~ NA*y1 + y2 + y3 + y4 + y5 + y6\nf2 =~ NA*y2 + y3 + y4 + y5 + y6\nf1 ~~ 1*f1 + 0*f2\nf2 ~~ 1*f2", rows()
    )
    assert fit.loglik == pytest.approx(free.loglik, abs=1e-7)
    # the means are parameters here
    assert fit.npar == free.npar + 6 == 23
    for name in ("chisq", "df", "rmsea", "cfi"):
        assert fit.fit_measures()[name] == pytest.approx(free.fit_measures()[name], abs=1e-6)
    np.testing.assert_allclose(fit.implied()["cov"], free.implied()["cov"], atol=1e-6)


@float64
def numerical_errors(fit, text: str, rotation: str, rotation_args: dict, columns) -> np.ndarray:
    """Standard errors of the natural parameters from the unrotated vcov and re-rotation at perturbed values."""
    options = SyntaxOptions.for_function("sem", rotation=rotation, rotation_args=rotation_args, meanstructure=True)
    specification = specify(parse(text), options=options, data_variables=columns)
    estimation = ml.lavaan(to_lavaan(unrotated(specification)), rows(), information="observed", missing="ml").estimation
    made = fit.estimation.model.build

    def rotated_at(natural):
        model = estimation.model
        model = replace(model, maximum=replace(model.maximum, theta=natural))
        found = [_rotate_block(model, block) for block in specification.blocks]
        return transformed(
            model.build, model.natural, made, [(one.block, one.rotated.transformation.T) for one in found]
        )

    at = estimation.model.natural
    np.testing.assert_allclose(rotated_at(at), fit.estimation.model.natural, atol=2e-5)
    moves = 1e-4 * np.eye(len(at))
    jacobian = np.stack([(rotated_at(at + d) - rotated_at(at - d)) / 2e-4 for d in moves], -1)
    return np.sqrt(np.diag(jacobian @ vcov_natural(estimation) @ jacobian.T))


@pytest.mark.parametrize("rotation", ["geomin", "oblimin", "varimax", "target"])
def test_standard_errors_are_those_of_a_numerical_delta_method(rotation):
    args = {"target": TARGET} if rotation == "target" else {}
    args |= {"starts": 5}
    fit = ml.efa(rows(), 2, ITEMS, rotation=rotation, rotation_args=args)
    expected = numerical_errors(fit, BLOCK, rotation, args, ITEMS)
    got = np.sqrt(np.diag(fit.vcov()))
    np.testing.assert_allclose(got, expected, rtol=2e-3)


def test_each_level_by_itself():
    fit = ml.efa(rows(), {"within": 2, "between": 1}, ITEMS, "c", rotation={"within": "oblimin"})
    assert fit.npar == 6 * 2 - 1 + 6 + 6 + 6 + 6
    assert list(fit.rotation()["rotation"]) == ["oblimin", "geomin"]
    assert matrix(fit).shape == (6, 2)
    assert matrix(fit, 2).shape == (6, 1)
    assert (matrix(fit, 2) > 0).all()
    by_level = fit.fit_measures_by_level()
    assert by_level.loc["within", "df"] == 4
    assert by_level.loc["between", "df"] == 9
    alone = ml.efa(rows(), {"within": 2}, ITEMS, "c")
    assert alone.fit_measures()["df"] == 4
    assert alone.fit_measures()["chisq"] == pytest.approx(by_level.loc["within", "chisq"], abs=1e-5)


def test_the_same_in_the_syntax_and_saved(tmp_path):
    text = f"level: 1\n{BLOCK}\nlevel: 2\n" + BLOCK.replace("f1", "g1").replace("f2", "g2")
    fit = ml.sem(text, rows(), cluster="c", rotation="oblimin", estimator="MLR")
    other = ml.efa(rows(), 2, ITEMS, "c", rotation="oblimin", estimator="MLR")
    for level in (1, 2):
        for column in ("est", "se"):
            np.testing.assert_allclose(matrix(fit, level, column), matrix(other, level, column), rtol=1e-5)
    again = ml.load(fit.save(tmp_path / "fit.json"))
    pd.testing.assert_frame_equal(again.parameter_estimates(), fit.parameter_estimates())
    assert 'efa("a")*f1 + efa("a")*f2 =~ y1' in fit.to_lavaan()
    back = ml.lavaan(fit.to_lavaan(), rows(), cluster="c", rotation="oblimin")
    assert back.loglik == pytest.approx(fit.loglik, abs=1e-6)
    assert back.npar == fit.npar
    assert "Rotation of 'a', level 1" in str(fit.summary())


def test_a_block_in_a_larger_model():
    """Factors with a covariate: all rotations have one likelihood, regressions are rotated as loadings are."""
    fits = [ml.sem(f"{BLOCK}\nf1 + f2 ~ x", rows(), rotation=r) for r in ("geomin", "varimax")]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-7)
    np.testing.assert_allclose(fits[0].rsquare()["y1"], fits[1].rsquare()["y1"], atol=1e-6)
    outcome = ml.sem(f"{BLOCK}\nx ~ f1 + f2", rows())
    assert np.isfinite(outcome.parameter_estimates().query("op == '~'")["se"]).all()
    with pytest.raises(ml.ModelError, match="treated alike"):
        ml.sem(f"{BLOCK}\nf1 ~ x", rows())
    with pytest.raises(ml.ModelError, match="treated alike"):
        ml.sem(f"{BLOCK}\nf2 ~ f1", rows())


def test_groups_missing_values_and_bounds():
    fit = ml.efa(rows(), 2, ITEMS, group="g")
    alone = ml.efa(rows()[rows()["g"] == "a"], 2, ITEMS)
    table = fit.parameter_estimates()
    label = list(fit.specification.groups).index("a") + 1
    here = table[(table["op"] == "=~") & (table["group"] == label)]["est"]
    np.testing.assert_allclose(here, alone.parameter_estimates().query("op == '=~'")["est"], atol=1e-4)
    holes = rows().copy()
    holes.loc[::5, "y2"] = np.nan
    assert np.isfinite(matrix(ml.efa(holes, 2, ITEMS, missing="ml"), 1, "se")).all()
    np.testing.assert_allclose(matrix(ml.efa(rows(), 2, ITEMS, bounds="pos.var")), matrix(single()), atol=1e-5)


def test_local_minima_are_counted_and_told():
    a = np.array(
        [[0.8, 0.3, 0.2], [0.7, -0.2, 0.4], [0.6, 0.5, -0.3], [0.2, 0.8, 0.1], [0.5, 0.4, 0.6], [0.1, 0.3, 0.9]]
    )
    found = rotate(a, Rotation(epsilon=1e-6, starts=60))
    assert len(found.minima) > 1
    assert found.minima == tuple(sorted(found.minima))
    assert 0 < found.found < 61


@pytest.mark.parametrize(
    ("rotation", "options"), [("geomin", {}), ("varimax", {}), ("target", {"rotation_args": {"target": TARGET}})]
)
def test_bootstrap_draws_stay_at_the_minimum_of_the_estimate(rotation, options):
    fit = single(rotation) if not options else ml.efa(rows(), 2, ITEMS, rotation=rotation, **options)
    found = fit.bootstrap(150, 1)
    draws, estimate = found.draws[fit.coef().index], fit.coef()
    assert found.bootstrap.usable.all()
    # no draw has another order or sign of the factors, and spreads are those of the standard errors
    loadings = [name for name in estimate.index if "=~" in name and abs(estimate[name]) > 0.5]
    assert (np.sign(draws[loadings]) == np.sign(estimate[loadings])).all(axis=None)
    ratio = draws.std() / np.sqrt(np.diag(fit.vcov()))
    assert 0.8 < ratio[loadings].min() <= ratio[loadings].max() < 1.25
    assert np.abs(draws.mean() - estimate).max() < 0.03


def test_a_draw_is_the_rotated_fit_of_its_rows():
    """A draw by weights beside the fit of the rows drawn, by the rotation of its own with several starts."""
    fit = single("oblimin")
    draws = fit.bootstrap(3, 5)
    weights = float64(resampler(fit.estimation, "nonparametric").lanes)(jax.random.key(5), 3)["weights"]
    for drawn, often in zip(draws.draws.to_numpy(), np.asarray(weights), strict=True):
        again = ml.efa(rows().loc[np.repeat(rows().index, often.astype(int))], 2, ITEMS, rotation="oblimin")
        np.testing.assert_allclose(again.coef(), drawn, atol=2e-4)


def test_bootstrap_of_two_levels_and_of_a_larger_model():
    fit = ml.efa(rows(), {"within": 2}, ITEMS, "c")
    found = fit.bootstrap(20, 2)
    assert found.bootstrap.usable.all()
    assert (found.draws[["fw1=~y1", "fw1=~y2", "fw2=~y4", "fw2=~y5"]] > 0).all(axis=None)
    larger = ml.sem(f"{BLOCK}\nf1 + f2 ~ x", rows())
    slopes = larger.bootstrap(40, 2).draws[["f1~x", "f2~x"]]
    assert np.abs(slopes.mean() - larger.coef()[["f1~x", "f2~x"]]).max() < 0.05


def test_efa_blocks_as_mplus_input():
    text = ml.efa(rows(), 2, ITEMS, rotation="target", rotation_args={"target": TARGET}).to_mplus()
    assert "ROTATION = TARGET (OBLIQUE);" in text
    assert "f2 BY y1~0 y2~0 y3~0 y4 y5 y6 (*1);" in text
    assert "WITH" not in text
    assert "ROTATION = GEOMIN (OBLIQUE 0.001);" in single().to_mplus()
    assert "f1 ON x*;" in ml.sem(f"{BLOCK}\nf1 + f2 ~ x", rows()).to_mplus()


def test_what_cannot_be_had_is_said():
    for call, words in (
        (lambda: single().profile_ci("f1=~y1"), "Rotated parameters have no profile intervals.*bootstrap"),
        (lambda: str(single().bootstrap(5, ci="student")), "ci='student'.*rotated"),
        (lambda: ml.efa(rows(), 2, ITEMS, se="bootstrap", bootstrap=10).vcov(), "fit.bootstrap"),
        (lambda: ml.estimate(single().model, ml.statistics(single().model, rows())), "rotation of the efa"),
        (lambda: ml.efa(rows(), 1, ITEMS, "c").to_mplus(), "one level and one group"),
        (lambda: ml.sem("f =~ y1 + y2 + y3", rows()).rotation(), "nothing to rotate"),
    ):
        with pytest.raises(ml.ModelError, match=words):
            call()
    with pytest.warns(ml.ModelWarning, match="all items of the block"):
        single().reliability()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"nfactors": 4}, ml.IdentificationError, "6 items cannot tell 4"),
        ({"nfactors": 0}, ml.ModelError, "nfactors"),
        ({"nfactors": {"within": 2, "between": 1}}, ml.ModelError, "cluster"),
        ({"nfactors": {"within": 2, "betwen": 1}, "cluster": "c"}, ml.ModelError, "'betwen'.*'between'"),
        ({"nfactors": {"within": 0}, "cluster": "c"}, ml.ModelError, "needs a factor"),
        ({"rotation": "geomine"}, ml.ModelError, "geomine.*geomin"),
        ({"nfactors": 1, "rotation": "geomine"}, ml.ModelError, "geomine.*geomin"),
        ({"rotation": "target"}, ml.ModelError, "target"),
        ({"rotation": "target", "rotation_args": {"target": [[0, 1], [1, 0]]}}, ml.ModelError, "6 rows.*2 columns"),
        ({"rotation": "target", "rotation_args": {"target": TARGET * np.nan}}, ml.ModelError, "too few cells"),
        ({"rotation": "varimax", "rotation_args": {"orthogonal": False}}, ml.ModelError, "oblimin"),
        ({"rotation_args": {"epsilonn": 1}}, ml.ModelError, "epsilon"),
        ({"rotation_args": {"epsilon": -1}}, ml.ModelError, "epsilon"),
        ({"vars": [*ITEMS[:5], "y66"]}, ml.DataError, "y66"),
        ({"vars": [*ITEMS, "y1"]}, ml.ModelError, "twice"),
        ({"vars": None}, ml.ModelError, "vars="),
    ],
)
def test_bad_inputs(options, error, words):
    with pytest.raises(error, match=words):
        ml.efa(rows(), **({"nfactors": 2, "vars": ITEMS} | options))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BLOCK.replace("=~ y1", "=~ a*y1"), "all free"),
        ('efa("a")*f1 =~ y1 + y2 + y3 + y4\nefa("a")*f2 =~ y3 + y4 + y5 + y6', "'f1' and 'f2'"),
        (f"{BLOCK}\nf1 ~~ f1", "variance of 'f1'"),
        (f"{BLOCK}\nf1 ~~ f2", "comes from the rotation"),
        ('f1 =~ efa("a")*y1 + y2', "on the left of =~"),
        (f'{BLOCK}\nefa("a")*f1 ~ x', "on the left of =~"),
        ("efa()*f1 =~ y1 + y2", "name of a block"),
        ('efa("a") f1 =~ y1 + y2', "factor is missing"),
        ('efa("a")*f1 + efa("a")*f2 =~ y1 + y2', "more items than factors"),
        (f"{BLOCK}\nf1 =~ x", "in one line and not in another"),
    ],
)
def test_bad_blocks(text, words):
    with pytest.raises(ml.ModelSyntaxError, match=words):
        ml.sem(text, rows())


def test_items_without_variance_at_a_level():
    rng = np.random.default_rng(2)
    flat = rows().assign(c=rng.permutation(rows()["c"].to_numpy()))
    with pytest.raises(ml.ModelError, match="cannot be rotated"):
        ml.efa(flat, {"within": 2, "between": 2}, ITEMS, "c")
    assert ml.efa(flat, {"within": 2}, ITEMS, "c").fit_measures()["df"] == 4


def test_rotation_without_blocks_and_equal_loadings():
    with pytest.raises(ml.ModelError, match="efa"):
        ml.sem("f =~ y1 + y2 + y3", rows(), rotation="geomin")
    with pytest.raises(ml.ModelError, match="held equal"):
        ml.sem(BLOCK, rows(), group="g", group_equal="loadings")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ml.efa(rows(), 1, ITEMS)
