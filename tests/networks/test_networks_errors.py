"""Every bad input that psychonetrics 0.17.0 answers with a riddle or with silence has a sentence that says what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.fits._fit import NETWORK_ONLY

VARS = [f"y{i}" for i in range(1, 7)]
L = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(20)
    cluster = np.repeat(np.arange(40), 8)
    between, within = rng.normal(size=(40, 2))[cluster] * 0.7, rng.normal(size=(320, 2))
    y = (between + within) @ L.T + 0.6 * rng.normal(size=(320, 6)) + 0.4 * rng.normal(size=(40, 6))[cluster]
    frame = pd.DataFrame(y, columns=VARS)
    return frame.assign(cluster=cluster, g=np.where(cluster < 20, "a", "b"))


def lvm(data, lambda_=L, **options):
    return ml.ml_lvm(data, lambda_, **({"clusters": "cluster", "vars": VARS} | options))


def ggm(data, **options):
    return ml.ml_ggm(data, **({"clusters": "cluster", "vars": VARS} | options))


# psychonetrics' id of the input: (what is done, the words of the message)
CONSTRUCTION = {
    "clusters_missing": (lambda d: ml.ml_lvm(d, L, vars=VARS), "needs cluster"),
    "clusters_missing_varcov": (lambda d: ml.ml_varcov(d, vars=VARS), "needs cluster"),
    "clusters_unknown_column": (lambda d: lvm(d, clusters="school"), "no column 'school'"),
    "clusters_unknown_column_varcov": (lambda d: ggm(d, clusters="clutser"), "Did you mean 'cluster'"),
    "vars_unknown": (lambda d: lvm(d, vars=[*VARS[:5], "zz"]), "'zz'.* is not in the data"),
    "data_not_data_frame": (lambda d: lvm([1, 2]), "list"),
    "data_covariance_matrix": (lambda d: lvm(d[VARS].cov()), "Two-level models need the rows themselves"),
    "lambda_wrong_rows": (lambda d: lvm(d, L[:5]), "5 rows, but there are 6 variables"),
    "lambda_zero_column": (lambda d: lvm(d, np.c_[L, np.zeros(6)]), "Eta_3 has no indicator: column 3"),
    "lambda_not_matrix": (lambda d: lvm(d, np.ones(6)), "for a single latent variable give a column"),
    "lambda_non_integer_value": (
        lambda d: lvm(d, np.where(L == 1, 0.5, 0)),
        r"lambda\[1, 1\] is 0.5.*fixpar\('lambda', 1, 1",
    ),
    "lambda_square": (lambda d: lvm(d, np.ones((6, 6))), "as many latent variables as indicators"),
    "lambda_groups_mismatch": (lambda d: lvm(d, np.stack([L, L, L])), "rows|dimensions"),
    "latents_wrong_length": (lambda d: lvm(d, latents=["a", "b", "c"]), "3 names, but lambda has 2 columns"),
    "type_invalid": (lambda d: lvm(d, within_latent="network"), "'cov', 'chol', 'prec', 'ggm', 'cor'"),
    "estimator_invalid": (lambda d: lvm(d, estimator="WLS"), "estimator='WLS' is not available"),
    "identification_invalid": (lambda d: lvm(d, identification="marker"), "'loadings', 'variance', 'none'"),
    "optimizer_invalid": (lambda d: lvm(d, optimizer="newton"), "one optimiser"),
    "sigma_keyword_typo": (lambda d: lvm(d, sigma_zeta_within="diagonal"), "Did you mean 'diag'"),
    "sigma_keyword_empty": (lambda d: lvm(d, sigma_zeta_within="empty"), "called 'zero'"),
    "omega_wrong_dim": (
        lambda d: ml.ml_lnm(d, L, clusters="cluster", vars=VARS, omega_zeta_within=np.ones((3, 3))),
        "3 x 3, but the model needs 2 x 2",
    ),
    "beta_wrong_dim": (lambda d: lvm(d, beta_within=np.ones((3, 3))), "beta_within has dimensions 3 x 3"),
    "lnm_type_given_twice": (
        lambda d: ml.ml_lnm(d, L, clusters="cluster", vars=VARS, within_latent="cov"),
        "ml_lnm sets within_latent='ggm'.*use ml_lvm",
    ),
    "groups_unknown": (lambda d: lvm(d, groups="country"), "no column 'country'"),
    "equal_unknown_matrix": (lambda d: lvm(d, groups="g", equal="loadings"), "equal names 'loadings'"),
    "equal_without_groups": (lambda d: lvm(d, equal="lambda"), "there is one group"),
    "non_numeric_variable": (lambda d: lvm(d.assign(y1="a")), "'y1'.*text"),
    "factor_variable": (lambda d: lvm(d.assign(y1=pd.Categorical(["a"] * len(d)))), "'y1'.*categorical"),
    "constant_variable": (lambda d: lvm(d.assign(y2=1.0)), "y2"),
    "one_cluster": (lambda d: lvm(d.assign(cluster=1)), "cluster"),
    "all_singletons": (lambda d: lvm(d.assign(cluster=np.arange(len(d)))), "one row|single row|size 1|one unit"),
    "groupvar_argument_ml_lvm": (lambda d: lvm(d, groupvar="g"), "called groups"),
    "zero_rows": (lambda d: lvm(d.iloc[:0]), "no rows"),
    "bootstrap_argument": (lambda d: lvm(d, bootstrap=True), r"fit\.bootstrap\(\)"),
    "unknown_argument": (lambda d: lvm(d, sigma_zeta_withn="diag"), "Did you mean 'sigma_zeta_within'"),
    "matrix_of_another_kind": (
        lambda d: lvm(d, omega_zeta_within="zero"),
        "within_latent='cov'.*use within_latent='ggm'",
    ),
    "pattern_not_symmetric": (lambda d: lvm(d, sigma_zeta_within=[[1, 0], [1, 1]]), None),
    "pattern_contradicts": (
        lambda d: ggm(d, omega_within=np.triu(np.ones((6, 6)), 1) + 2 * np.tril(np.ones((6, 6)), -1)),
        "not symmetric",
    ),
    "pattern_negative": (lambda d: lvm(d, nu=[1, 1, 1, 1, 1, -1]), r"nu\[6, 1\] is -1"),
    "standardize_invalid": (lambda d: lvm(d, standardize="zscore"), "'none', 'z', 'quantile'"),
    "between_only_not_last": (lambda d: lvm(d, between_only=["y1"]), "last: vars="),
}


@pytest.mark.parametrize("name", CONSTRUCTION)
def test_construction(data, name):
    call, words = CONSTRUCTION[name]
    if words is None:
        call(data)  # the lower triangle alone is enough
        return
    with pytest.raises(ValueError, match=words):
        call(data)


EDITS = {
    "fixpar_unknown_matrix": (
        lambda m: m.fixpar("omega_zeta_within", 1, 2),
        "no matrix of this model.*nu, nu_eta, lambda",
    ),
    "fixpar_unknown_label": (lambda m: m.fixpar("lambda", "y9", "Eta_1"), "no row 'y9'.*y1"),
    "fixpar_missing_row": (lambda m: m.fixpar("lambda"), "Say which element of lambda"),
    "fixpar_missing_col": (lambda m: m.fixpar("lambda", 1), "columns too"),
    "fixpar_out_of_range": (lambda m: m.fixpar("lambda", 7, 1), "6 rows, counted from 1; there is no row 7"),
    "fixpar_zero": (lambda m: m.fixpar("lambda", 0, 1), "counted from 1"),
    "freepar_identified": (lambda m: m.freepar("lambda", "y1", "Eta_1"), "fixed at 1 to identify"),
    "groupequal_unknown_matrix": (lambda m: m.groupequal("loadings"), "no matrix of this model"),
    "groupequal_one_group": (lambda m: m.groupequal("lambda"), "one group"),
    "transmod_unknown": (lambda m: m.transmod(within="ggm"), "no argument 'within'"),
    "transmod_invalid": (lambda m: m.transmod(within_latent="glasso"), "within_latent='glasso' is not available"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits(data, name):
    call, words = EDITS[name]
    with pytest.raises(ValueError, match=words):
        call(lvm(data))


def test_the_upper_triangle_alone_is_no_pattern(data):
    with pytest.raises(ml.ModelError, match=r"\[1, 2\] is 1 and \[2, 1\] is 0"):
        lvm(data, sigma_zeta_within=[[1, 1], [0, 1]])


def test_a_marker_can_be_moved(data):
    model = lvm(data).fixpar("lambda", "y2", "Eta_1", 1.0).freepar("lambda", "y1", "Eta_1")
    table = model.parameters().set_index(["matrix", "row", "col"])
    assert not table.loc[("lambda", 1, 1), "fixed"]
    assert table.loc[("lambda", 2, 1), "value"] == 1.0


def test_a_missing_cluster_is_told(data):
    model = lvm(
        data.astype({"cluster": object})
        .mask(data.index.to_series() == 2, other=np.nan)
        .assign(**{v: data[v] for v in VARS})
    )
    assert model.data.nrows == len(data) - 1
    assert any("cluster" in sentence for sentence in model.data.warnings)


@pytest.fixture(scope="module")
def fit(data):
    return ggm(data, vars=VARS[:3]).fit()


FITTED = {
    "getmatrix_unknown": (lambda f: f.getmatrix("omega"), "no matrix 'omega'.*omega_within"),
    "getmatrix_threshold_not_modeled": (
        lambda f: f.getmatrix("kappa_within", threshold=True),
        "derived, so its elements have no p",
    ),
    "prune_bad_adjust": (lambda f: f.prune(adjust="sidak"), "adjust='sidak' is not available"),
    "prune_bad_alpha": (lambda f: f.prune(alpha=5), "between 0 and 1"),
    "stepup_bad_criterion": (lambda f: f.stepup(criterion="foo"), "criterion='foo' is not available"),
    "compare_single": (lambda f: ml.compare(a=f), "two fits or more"),
    "plot_unknown_layout": (lambda f: f.plot_network(layout="sprung"), "Did you mean 'spring'"),
    "getmatrix_unknown_group": (lambda f: f.getmatrix("omega_within", group="north"), "no group 'north'"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FITTED)
def test_fitted(fit, name):
    call, words = FITTED[name]
    with pytest.raises(ValueError, match=words):
        call(fit)


@pytest.mark.timeout(300)
def test_an_unfitted_model_cannot_be_compared(fit, data):
    with pytest.raises(ml.ModelError, match=r"not been fitted: call its fit\(\)"):
        ml.compare(a=fit, b=ggm(data, vars=VARS[:3]))


@pytest.mark.timeout(300)
def test_network_methods_of_other_fits():
    fit = ml.Fit(estimation=None, function="sem")
    with pytest.raises(ml.ModelError, match=r"prune\(\) is for network models.*made by sem"):
        fit.prune()
    with pytest.raises(ml.ModelError, match=r"log is for network models.*made by sem"):
        fit.log  # noqa: B018
    with pytest.raises(AttributeError, match="'Fit' object has no attribute 'prunes'"):
        fit.prunes()
    assert not hasattr(fit, "prune")
    assert "prune" not in dir(fit)


def test_the_methods_that_only_network_fits_have_are_those_that_other_fits_explain():
    own = {name for name in dir(ml.NetworkFit) if not name.startswith("_")} - set(dir(ml.Fit))
    assert own == set(NETWORK_ONLY)


@pytest.mark.timeout(300)
def test_fits_of_network_models_are_fits(fit):
    assert type(fit) is ml.NetworkFit
    assert isinstance(fit, ml.Fit)
    assert repr(fit).startswith("<mlsem_jax.Fit:")
    assert repr(fit.network).startswith("<mlsem_jax network model")
    fixed = fit.fixpar("omega_between", 2, 1)
    assert type(fixed) is ml.NetworkFit
    # the indices of network models have no standardized changes
    assert "Modification Indices" in str(fixed.summary(modindices=True))
