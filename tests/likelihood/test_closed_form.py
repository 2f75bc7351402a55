"""The likelihood in NumPy, of which nothing is compiled, equals the compiled one to rounding: value, gradient, informations."""

from __future__ import annotations

import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import Estimation, Problem
from mlsem_jax.estimation.problem._evaluators import Compiled
from mlsem_jax.estimation.problem._reduction import patterns_of
from mlsem_jax.likelihood import ClosedForm, PatternTerm, _closed_form
from mlsem_jax.models import PlainMoments
from mlsem_jax.numerics import float64

MODELS = {
    "paths": """
level: 1
  f =~ y1 + y2 + y3
  g =~ y4 + y5
  g ~ f + x
  y6 ~ g + b*f
  y1 ~~ y4
level: 2
  h =~ y1 + y2 + y3 + y4
  y5 ~ h + z
  z ~~ h
  y6 ~~ y5
""",
    "equal loadings": """
level: 1
  f =~ y1 + a*y2 + a*y3
  f ~ b*x
level: 2
  f2 =~ y1 + a*y2 + a*y3
  f2 ~ c*z
  c == 2*b
""",
    "without factors": "level: 1\n y1 ~~ y2\n y1 ~ x\nlevel: 2\n y1 ~~ y2\n y2 ~ y1 + z\n",
    "one level": "f =~ y1 + y2 + y3\n f ~ x\n y4 ~ f + y5\n",
    "latent means": """
level: 1
  f =~ NA*y1 + y2 + y3
  f ~~ 1*f
level: 2
  h =~ y1 + y2 + y3
  h ~ 1
  y1 ~ 0*1
  k =~ h + z
  k ~~ 1*k
""",
}


def data(groups: int = 1, sizes=(1, 2, 5, 9)) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(60), np.resize(sizes, 60))
    between, within = rng.normal(size=(60, 3)), rng.normal(size=(len(cluster), 3))
    loading = rng.uniform(0.4, 1.0, size=(3, 6))
    y = (0.6 * between @ loading)[cluster] + within @ loading + rng.normal(size=(len(cluster), 6))
    frame = pd.DataFrame(y, columns=[f"y{i}" for i in range(1, 7)])
    return frame.assign(
        x=within[:, 0] + rng.normal(size=len(cluster)), z=between[cluster, 0], c=cluster, s=cluster % groups
    )


@float64
def estimation_of(text: str, frame: pd.DataFrame, **options) -> Estimation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.sem(
            text, frame, cluster="c", h1=False, baseline=False, optim_method="scoring", iter_max=4, **options
        ).estimation


def with_gaps(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """15 % of the outcomes missing: in some clusters, in all of them and one variable nowhere in a cluster, or of z too."""
    names = [f"y{i}" for i in range(1, 7)]
    gaps = np.random.default_rng(3).uniform(size=(len(frame), 6)) < 0.15
    if kind == "some":
        gaps[frame["c"] > 20] = False
    frame[names] = frame[names].where(~gaps)
    if kind == "all":
        frame.loc[frame["c"] == 3, "y2"] = np.nan
        frame.loc[frame.groupby("c").head(1).index, "y5"] = np.nan
    if kind == "covariates":
        frame.loc[frame["c"] % 5 == 0, "z"] = np.nan
    return frame


def relative(found, expected) -> float:
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@jax.jit
def compiled(structure, theta, statistics):
    """Evaluation, expected and observed information."""
    at = (structure, theta, statistics)
    return likelihood.evaluate(*at), likelihood.expected_information(*at), likelihood.observed_information(*at)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", MODELS)
@float64
def test_numpy_and_compiled_programs_agree(name, groups):
    estimation = estimation_of(MODELS[name], data(groups), **({"group": "s"} if groups > 1 else {}))
    model, statistics = estimation.model, estimation.statistics
    theta = model.theta + 0.02 * np.random.default_rng(1).normal(size=len(model.theta))
    closed = likelihood.ClosedForm.of(model.build.structure, statistics)
    traced = jax.tree.map(jnp.asarray, (model.build.structure, jnp.asarray(theta), statistics))
    moments, jacobian = closed.plain.with_jacobian(theta)
    for ours, theirs in zip(
        jax.tree.leaves((moments, jacobian)),
        jax.tree.leaves(likelihood.moments_and_jacobian(*traced[:2])),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)
    found = closed.evaluate(theta)
    assert closed.value(theta) == found.value == pytest.approx(float(likelihood.log_likelihood(*traced)), rel=1e-13)
    # rounding of sums over some hundred rows
    assert relative(found.gradient, likelihood.gradient(*traced)) < 1e-12
    assert relative(found.metric, likelihood.expected_information(*traced)) < 1e-12
    assert relative(closed.expected_information(theta), found.metric) < 1e-14
    assert relative(closed.observed_information(theta), likelihood.observed_information(*traced)) < 1e-12
    clusters = estimation.clusters
    for ours, theirs in zip(
        closed.cluster_scores(theta, clusters), likelihood.cluster_scores(*traced[:2], clusters), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)  # sums over the rows of a cluster
    weight = jax.tree.map(lambda x: np.random.default_rng(2).normal(size=x.shape), moments.as_moments())
    weight = type(weight)(
        tuple(type(part)(part.cov + np.swapaxes(part.cov, 1, 2), part.mean) for part in weight.levels)
    )
    bend = likelihood.curvature_of_moments(*traced[:2], weight)
    np.testing.assert_allclose(closed.plain.curvature(theta, weight), bend, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "kind", "groups"),
    [
        ("paths", "covariates", 2),
        ("equal loadings", "all", 1),
        ("latent means", "some", 1),
        ("without factors", "weights", 1),
        ("one level", "all", 2),
    ],
)
@float64
def test_numpy_and_compiled_programs_agree_with_missing_values(name, kind, groups):
    options = ({"group": "s"} if groups > 1 else {}) | ({"fixed_x": False} if kind == "covariates" else {})
    frame = with_gaps(data(groups), kind)
    if kind == "weights":
        frame = frame.assign(w=1.0 + frame.index % 3, v=1.0 + frame["c"] % 4)
        options |= {"sampling_weights": "w", "sampling_weights_between": "v"}
    estimation = estimation_of(MODELS[name], frame, missing="ml", **options)
    model, statistics = estimation.model, estimation.statistics
    theta = model.theta + 0.01 * np.random.default_rng(1).normal(size=len(model.theta))
    traced = jax.tree.map(jnp.asarray, (model.build.structure, jnp.asarray(theta), statistics))
    # statistics may come from a device
    for given in (statistics, traced[2]):
        closed = likelihood.ClosedForm.of(model.build.structure, given)
        found = closed.evaluate(theta)
        assert isinstance(found.gradient, np.ndarray)
        assert closed.value(theta) == pytest.approx(found.value, rel=1e-14)
    evaluated, expected, observed = compiled(*traced)
    assert found.value == pytest.approx(float(evaluated.value), rel=1e-13)
    assert relative(found.gradient, evaluated.gradient) < 1e-12
    assert relative(found.metric, evaluated.metric) < 1e-12
    assert relative(closed.expected_information(theta), expected) < 1e-12
    assert relative(closed.observed_information(theta), observed) < 1e-12
    nobody = jax.tree.map(lambda x: x[:0], estimation.clusters)
    assert [len(x) for x in closed.cluster_scores(theta, nobody)] == [0, 0]
    which = np.isin(np.arange(estimation.data.nclusters), estimation.reduction.pattern_codes)
    term = PatternTerm(patterns_of(model.build.specification, estimation.data, which, by_pair=True))
    expected = jax.jit(likelihood.term_scores)(*traced[:2], jax.tree.map(jnp.asarray, term))
    for ours, theirs in zip(closed.term_scores(theta, term), expected, strict=True):
        assert relative(ours, theirs) < 1e-12


@pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning")
@float64
def test_outside_the_domain_of_the_clusters_it_is_zero_with_missing_values():
    """Sigma_B may be indefinite as long as every cluster's covariance matrix is positive definite: the compiled programs agree."""
    estimation = estimation_of(MODELS["without factors"], with_gaps(data(), "all"), missing="ml")
    problem, statistics = estimation.model.problem, estimation.statistics
    at = list(problem.build.theta_names).index("y1~~y1.l2")
    for value in (-0.05, -0.3, -5.0):
        theta = estimation.model.theta.copy()
        theta[at] = value
        traced = jax.tree.map(jnp.asarray, (problem.build.structure, jnp.asarray(theta), statistics))
        expected = float(likelihood.log_likelihood(*traced))
        assert problem.value(theta) == pytest.approx(expected, rel=1e-12)
        assert problem.evaluate(theta).finite == np.isfinite(expected)
    assert not np.isfinite(expected)


@pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning")
@float64
def test_a_search_in_numpy_ends_where_the_compiled_one_does(monkeypatch):
    frame = data()
    model = "level: 1\n f =~ y1 + y2 + y3\n f ~ x\nlevel: 2\n h =~ y1 + y2 + y3\n h ~ z\n"
    ours = ml.sem(model, frame, cluster="c")
    monkeypatch.setattr(likelihood.ClosedForm, "of", lambda *_: None)
    theirs = ml.sem(model, frame, cluster="c")
    assert isinstance(theirs.estimation.model.problem.evaluator, Compiled)
    assert isinstance(ours.estimation.model.problem.evaluator, ClosedForm)
    assert ours.loglik == pytest.approx(theirs.loglik, abs=1e-9)
    se = theirs.estimation.model.theta * 0 + np.sqrt(np.diag(theirs.vcov()))
    assert np.abs((ours.coef() - theirs.coef()).to_numpy() / se).max() < 1e-7
    np.testing.assert_allclose(ours.vcov(), theirs.vcov(), rtol=1e-7, atol=1e-12)


@float64
def test_outside_the_domain_the_likelihood_is_zero():
    estimation = estimation_of(MODELS["without factors"], data())
    problem, theta = estimation.model.problem, estimation.model.theta.copy()
    for name, value in (("y1~~y1", -1.0), ("y1~~y1.l2", -50.0), ("y1~~y1", np.nan)):
        there = np.where([n == name for n in problem.build.theta_names], value, theta)
        assert not problem.evaluate(there).finite
        assert problem.value(there) == -np.inf
        assert not np.all(np.isfinite(problem.observed(there))) or name == "y1~~y1.l2"


def test_what_has_no_such_form_is_compiled(monkeypatch):
    frame = data()
    missing = estimation_of(
        MODELS["without factors"], frame.assign(y1=frame["y1"].where(frame.index != 3)), missing="ml"
    )
    assert isinstance(missing.model.problem.evaluator, ClosedForm)
    plain = estimation_of(MODELS["without factors"], frame)
    structure, statistics = plain.model.build.structure, plain.statistics
    assert PlainMoments.serves(structure)
    assert likelihood.ClosedForm.of(structure, statistics) is not None
    monkeypatch.setattr(_closed_form, "LARGEST_PATTERNS", 10)
    assert likelihood.ClosedForm.of(structure, missing.statistics) is None
    slopes = estimation_of("level: 1\n y1 ~ rv('s1')*x\nlevel: 2\n y1 ~~ s1\n", frame)
    assert isinstance(slopes.model.problem.evaluator, Compiled)
    network = ml.ml_varcov(frame, within="ggm", between="cov", clusters="c", vars=["y1", "y2"]).fit()
    assert not PlainMoments.serves(network.estimation.model.build.structure)
    assert isinstance(network.estimation.model.problem, Problem)


def test_a_first_fit_and_its_summary_compile_nothing():
    """In a fresh process; programs that are compiled say so."""
    code = (
        "import jax, logging, io; import mlsem_jax as ml; stream = io.StringIO()\n"
        "logging.getLogger('jax').addHandler(logging.StreamHandler(stream)); jax.config.update('jax_log_compiles', True)\n"
        "d = ml.datasets.load_schools()\n"
        "m = 'level: 1\\n math =~ math1 + math2 + math3\\n math ~ ses\\nlevel: 2\\n math_b =~ math1 + math2 + math3\\n'\n"
        "f = ml.sem(m, d, cluster='school', estimator='MLR'); f.summary(); f.modification_indices(); f.residuals()\n"
        "f.standardized_solution()\n"
        "d['math1'] = d['math1'].where(d.index % 7 != 0); d['math3'] = d['math3'].where(d.index % 5 != 0)\n"
        "g = ml.sem(m, d, cluster='school', estimator='MLR', missing='ml'); g.summary()\n"
        "print('COMPILED', stream.getvalue().count('XLA compilation'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "COMPILED 0" in done.stdout, done.stdout[-2000:]
