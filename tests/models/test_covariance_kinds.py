"""A sixth and a seventh way to write a covariance matrix, from outside: everything works with them.

The sixth is the one of docs/extend/covariance.md, read from there. The seventh is awkward where the sixth is not: no scale, a
logarithm on its diagonal, and nothing given that has a default.
"""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from test_level_matrices import check_directions, model

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.models import KINDS, Choice, CovarianceKind, build, kind_named, register, registered, unregister
from mlsem_jax.models._kinds import check_formulas
from mlsem_jax.networks._dense import covariance, decompose
from mlsem_jax.numerics import float64
from mlsem_jax.report import StorageError

pytestmark = pytest.mark.timeout(600)

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "covariance.md"
VARS = ["y1", "y2", "y3", "y4"]
NEW = ("ante", "logchol")


class LogCholesky(CovarianceKind):
    """Sigma = L L' with the logarithms of L's diagonal on the diagonal of the core (Pinheiro & Bates 1996)."""

    name, core = "logchol", "logl"
    symmetric = False

    def inside(self, xp, core):
        diagonal = xp.diagonal(core)
        root = core - xp.diag(diagonal) + xp.diag(xp.exp(diagonal))
        return root @ root.T

    def decompose(self, cov):
        root = np.linalg.cholesky(cov)
        return np.tril(root, -1) + np.diag(np.log(np.diag(root))), np.ones(len(cov))

    def own(self, xp, deviation):
        return xp.log(deviation)

    def deviation(self, xp, own):
        return xp.exp(own)


@pytest.fixture(scope="module", autouse=True)
def kinds(data, old):
    """The new kinds, registered after the library has compiled its programs for a model."""
    exec(re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)[1], {"__name__": "outside"})
    register(LogCholesky())
    yield
    for name in NEW:
        unregister(name)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Two levels; x is within-only, z between-only; units far from one, so that logarithms and their like are tried."""
    rng = np.random.default_rng(11)
    cluster = np.repeat(np.arange(70), 6)
    mix = np.kron(np.linalg.cholesky([[1, 0.4], [0.4, 1]]), np.ones((2, 1)))  # two factors, two indicators each
    y = rng.normal(size=(420, 2)) @ mix.T + 0.7 * (rng.normal(size=(70, 2)) @ mix.T)[cluster]
    y += 0.6 * rng.normal(size=(420, 4)) + 0.3 * rng.normal(size=(70, 4))[cluster]
    frame = pd.DataFrame(y * [1.0, 30.0, 0.1, 1.0], columns=VARS)
    z = rng.normal(size=70) + y[::6, 0]
    return frame.assign(x=0.5 * y[:, 0] + rng.normal(size=420), z=z[cluster], c=cluster)


@pytest.fixture(scope="module")
def old(data) -> ml.Fit:
    """A fit from before the new kinds were known."""
    return ml.ml_ggm(data, clusters="c", vars=VARS).fit()


@pytest.fixture(scope="module")
def fits(data, kinds) -> dict[str, ml.Fit]:
    """A factor model at both levels with the new kinds in different places, and the same with plain matrices."""
    loadings = [[1, 0], [1, 0], [0, 1], [0, 1]]
    places = {
        "cov": {},
        "ante": {"within_latent": "ante", "between_residual": "ante", "between_latent": "ggm"},
        "logchol": {"within_latent": "logchol", "within_residual": "ante", "between_latent": "logchol"},
    }
    return {
        name: ml.ml_lvm(data, loadings, clusters="c", vars=VARS, **kinds).fit(verbose=False)
        for name, kinds in places.items()
    }


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_matrix_to_parameters_and_back(kind, d):
    rng = np.random.default_rng(d)
    a = rng.normal(size=(d, d + 2)) * rng.uniform(0.1, 10, size=(d, 1))
    cov = np.zeros((d + 1, d + 1))
    cov[1:, 1:] = a @ a.T  # a variable that does not exist comes first
    record = kind_named(kind)
    core, scale = decompose(record, cov)
    exists = np.arange(d + 1) > 0
    np.testing.assert_allclose(covariance(record, core, scale, exists), cov, rtol=1e-9, atol=1e-9 * cov.max())
    core, scale = record.decompose(cov[1:, 1:])

    @float64
    def traced():
        return np.asarray(Choice.of(kind).sigma(jnp.asarray(core), jnp.asarray(scale)))

    np.testing.assert_allclose(traced(), cov[1:, 1:], rtol=1e-9, atol=1e-9 * cov.max())


@pytest.mark.parametrize("psi_kind", [*NEW, "cor"])
@pytest.mark.parametrize("theta_kind", NEW)
def test_derivatives(psi_kind, theta_kind):
    check_directions(*model(psi_kind, theta_kind))


@float64
def test_lanes_of_other_kinds_are_not_harmed():
    """A core of thousands has no finite exponential: neither value nor derivatives of the other kinds may hear of it."""
    core = jnp.diag(jnp.asarray([4000.0, 900.0])) + 10.0

    def lane(code, core):
        return jnp.sum(Choice(code, registered()).sigma(core, jnp.ones(2)))

    codes = jnp.asarray([KINDS.index(kind) for kind in ("cov", "prec")])
    slopes = jax.vmap(jax.grad(lane, argnums=1), in_axes=(0, None))(codes, core)
    assert np.all(np.isfinite(slopes))
    np.testing.assert_allclose(slopes[0], np.ones((2, 2)))


@pytest.mark.parametrize("kind", NEW)
def test_fits_agree_with_plain_matrices(fits, kind):
    fit, plain = fits[kind], fits["cov"]
    assert fit.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-7)
    assert fit.npar == plain.npar
    for name in ("sigma_within", "sigma_between", "omega_zeta_within"):
        np.testing.assert_allclose(fit.getmatrix(name), plain.getmatrix(name), rtol=1e-4, atol=1e-6)
    ours, theirs = (f.parameters().query("matrix == 'lambda'") for f in (fit, plain))
    np.testing.assert_allclose(ours["se"], theirs["se"], rtol=1e-4)
    assert np.all(fit.parameters().query("not fixed")["se"] > 0)


@pytest.mark.parametrize("kind", NEW)
def test_results_agree_with_plain_matrices(fits, kind):
    fit, plain = fits[kind], fits["cov"]
    ours, theirs = (f.standardized_solution().query("op == '=~'") for f in (fit, plain))
    for column in ("est.std", "se"):
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-4, atol=1e-7)
    for level in ("within", "between"):
        ours, theirs = (f.residuals(type="z")[level]["cov"].to_numpy() for f in (fit, plain))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    core = kind_named(kind).core
    assert f"{core}_zeta_within" in set(fit.parameters()["matrix"])
    assert kind_named(kind).heading in str(fit.summary())
    other = fit.transmod(within_latent="ggm", within_residual="cov")
    assert other.loglik == pytest.approx(plain.loglik, abs=1e-7)


@pytest.mark.parametrize("kind", NEW)
def test_matrices_of_other_fits_are_shown_in_the_new_kind(old, kind):
    """`derived`: whatever a fit was written in, also one from before the kind was known."""
    record = kind_named(kind)
    core, _ = record.decompose(old.getmatrix("sigma_within").to_numpy())
    np.testing.assert_allclose(old.getmatrix(f"{record.core}_within"), core, atol=1e-10)


@pytest.mark.parametrize("kind", NEW)
def test_variables_of_one_level(data, kind):
    options = {"clusters": "c", "vars": ["y1", "y2", "x", "z"], "within_only": ["x"], "between_only": ["z"]}
    fit = ml.ml_varcov(data, within=kind, between=kind, **options).fit()
    assert fit.loglik == pytest.approx(fit.estimation.h1.value, abs=1e-7)
    sigma = fit.getmatrix("sigma_between")
    assert (sigma.loc["x"] == 0).all()
    assert sigma.loc["z", "z"] > 0
    end = ml.estimate_batch(stacked([build(fit.specification).structure] * 2), fit.estimation.statistics)
    np.testing.assert_allclose(end.value, fit.loglik, atol=1e-6)


def stacked(structures):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *structures)


def test_a_batch_of_all_kinds(data, old):
    """Every lane starts from its own moments, in its own kind, and ends at one maximum."""
    models = [ml.ml_varcov(data, within=kind, between=kind, clusters="c", vars=VARS) for kind in KINDS]
    end = ml.estimate_batch(stacked([m.model for m in models]), old.estimation.statistics)
    assert [ml.Status(int(code)) for code in end.status] == [ml.Status.CONVERGED] * len(KINDS)
    np.testing.assert_allclose(end.value, old.loglik, atol=1e-6)
    assert np.all(end.iterations < 60)
    for kind, m, theta in zip(KINDS, models, end.theta, strict=True):
        if kind in NEW:  # theta of a single fit, in the same order
            np.testing.assert_allclose(
                m.fit().estimation.model.theta, theta[: len(m.fit().estimation.model.theta)], atol=1e-4
            )


def test_models_from_before_keep_working(old):
    """Their structures carry the kinds that they were made among, and what is made now the ones there are now."""
    assert len(old.estimation.model.build.structure.within.theta.kind.among) == len(KINDS) - len(NEW)
    pruned = old.prune(alpha=0.001)
    assert pruned.npar <= old.npar
    assert old.transmod(within="ante").loglik == pytest.approx(old.loglik, abs=1e-7)


def test_searches_take_the_core_of_a_network(data):
    full = ml.ml_varcov(data, within="ante", between="cov", clusters="c", vars=VARS).fit()
    gone = full.fixpar("phi_within", "y4", "y1", 0.0)
    assert gone.npar == full.npar - 1
    pruned = full.prune(alpha=0.2, matrices="phi_within")
    kept = pruned.parameters().query("matrix == 'phi_within' and not fixed")
    assert (kept["p"] < 0.2).all()
    lvm = ml.ml_lvm(data, [[1, 0], [1, 0], [0, 1], [0, 1]], clusters="c", vars=VARS, within_residual="ante")
    from mlsem_jax.networks._search import search_matrices

    assert search_matrices(lvm.layout, None) == ("phi_epsilon_within",)


def test_a_file_names_its_kind(fits, tmp_path):
    path = fits["ante"].save(tmp_path / "fit.json")
    assert ml.load(path).loglik == fits["ante"].loglik
    kind = kind_named("ante")
    unregister("ante")
    try:
        with pytest.raises(StorageError, match=r"no covariance kind 'ante'.*register"):
            ml.load(path)
    finally:
        register(kind)


def test_formulas_of_the_librarys_own_kinds_are_right():
    """What `register` checks of a user's kind; of these nothing is checked when they are imported."""
    for kind in registered():
        check_formulas(kind)


def test_a_record_is_itself_after_a_copy():
    """Otherwise a copy of a structure would compile everything anew."""
    for kind in registered():
        if kind.name != "ante":
            assert pickle.loads(pickle.dumps(kind)) is kind
        assert copy.deepcopy(kind) is kind
    choice = Choice.of("logchol")
    assert jax.tree.structure(copy.deepcopy(choice)) == jax.tree.structure(choice)


@float64
def test_no_lapack(old):
    structure = stacked([build(old.specification).structure] * 2)
    kernel = jax.vmap(likelihood.evaluate, in_axes=(0, None, None))
    theta = jnp.full(structure.basis.shape[-1], 0.5)
    statistics = jax.tree.map(jnp.asarray, old.estimation.statistics)
    assert "lapack" not in jax.jit(kernel).lower(structure, theta, statistics).as_text()


WRONG = {
    "names": ({"name": "cov"}, "own kinds"),
    "no name": ({"name": ""}, "no name"),
    "a matrix of another kind": ({"core": "omega"}, "'omega'.*'ggm'"),
    "a matrix of the model": ({"core": "lambda"}, "'lambda'.*taken"),
    "not the matrix": ({"sigma": lambda self, xp, core, scale, inner: 2 * inner}, "is not S"),
    "numpy in a formula": ({"inside": lambda self, xp, core: np.tril(core) @ np.tril(core).T}, "cannot be traced"),
    "lapack": (
        {"sigma": lambda self, xp, core, scale, inner: xp.linalg.inv(xp.linalg.inv(inner))},
        "LAPACK",
    ),
    "not triangular": ({"symmetric": True}, "not symmetric"),
    "another standard deviation": ({"own": lambda self, xp, deviation: 2 * deviation}, "inverse functions"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistakes_are_told_when_a_kind_is_registered(mistake):
    changes, message = WRONG[mistake]
    base = type(kind_named("chol"))
    wrong = type("Wrong", (base,), {"name": "wrong", "core": "wrongtri"} | changes)
    before = list(KINDS)
    with pytest.raises(ml.ModelError, match=message):
        register(wrong())
    assert before == KINDS


def test_unknown_kinds_are_errors(data):
    with pytest.raises(ml.ModelError, match=r"'antee' is not available.*'ante'"):
        ml.ml_varcov(data, within="antee", clusters="c", vars=VARS)
    with pytest.raises(ml.ModelError, match="stays"):
        unregister("cov")
    with pytest.raises(ml.ModelError, match="instance"):
        register(LogCholesky)
