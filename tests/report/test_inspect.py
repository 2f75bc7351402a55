"""inspect() answers every word of lavInspect's documentation with a value or with a sentence."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import load_schools
from mlsem_jax.report import INSPECT_NAMES, INSPECT_REFUSED, INSPECT_SECTIONS

pytestmark = pytest.mark.timeout(280)

DOCS = Path(__file__).resolve().parents[2] / "docs"
# the keywords that the documentation of lavInspect (lavaan 0.7) lists, aliases included
_KEYWORDS = """
free partable se std_err standard_errors se_std std_se start starting_values est estimates x est_unrotated dx_free
dx_all std std_all standardized std_lv std_nox mm_lambda lambda mm_delta data ordered nobs norig ntotal case_idx
empty_idx th_idx patterns patterns_freq pattern_freq patterns_stats pattern_stats missing_stats response_patterns
resp_patterns coverage sampling_weights weights group ngroups group_label level_label cluster nlevels nclusters
ncluster_size cluster_size cluster_id cluster_idx cluster_label cluster_sizes average_cluster_size sampstat obs
observed samp sample samplestatistics sampstat_std obs_std observed_std samp_std sample_std samplestatistics_std
sampstat_h1 var sampstat_var res_var icov sampstat_icov res_icov cov_log_det sampstat_cov_log_det res_cov_log_det
res_th_nox th_nox wls_obs wls_v wls_vd gamma sampstat_nacov group_w group_weights logl loglik h1_logl h1_loglik
meanstructure categorical fixed_x parameterization implied fitted expected exp resid residuals residual res cov_lv
veta cor_lv mean_lv eeta cov_ov sigma sigma_hat cor_ov mean_ov mu mu_hat cov_all cor_all th thresholds mm_theta theta
theta_cov theta_cor wls_est vy rsquare r-square r2 fs_determinacy fs_reliability fs_determinacy_bartlett
fs_reliability_bartlett icc ranef sampstat_2l sampstat_twolevel sampstat_cluster mdist2_fs mdist_fs mdist2_resid
mdist_resid converged iterations optim npar gradient gradient_logl optim_gradient hessian information
information_expected information_observed information_first_order first_order augmented_information
augmented_information_expected augmented_information_observed augmented_information_first_order inverted_information
inverted_information_expected inverted_information_observed inverted_information_first_order h1_information
h1_information_expected h1_information_observed h1_information_first_order h1_first_order vcov vcov_std_all
vcov_std_lv vcov_std_nox vcov_def vcov_def_std_all vcov_def_std_lv vcov_def_std_nox vcov_def_joint
vcov_def_joint_std_all vcov_def_joint_std_lv vcov_def_joint_std_nox constraints con constraints_jacobian con_jac
constraints_nullspace constraints_k eq_constraints_k con_k coef_boot monte_carlo mc mc_coef coef_mc UGamma UfromUGamma
U delta delta_rownames list fit fitmeasures fit_measures fit_indices mi modindices modification_indices
loglik_casewise options call timing test baseline_test baseline_partable post_check zero_cell_tables iv ivs miiv miivs
instr instruments eqs sargan hansen sam_struc_fit_object sam_struc version psi beta nu alpha tau level.label
"""
LAVINSPECT = _KEYWORDS.split()

WORDS = [word.name for words in INSPECT_SECTIONS.values() for word in words]

TWO = """
level: 1
  f =~ math1 + a*math2 + math3
  f ~ ses
level: 2
  b =~ math1 + math2 + math3
twice := 2*a
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))


@pytest.fixture(scope="module")
def two(data) -> ml.Fit:
    return ml.sem(TWO, data, cluster="school")


@pytest.fixture(scope="module")
def one(data) -> ml.Fit:
    return ml.sem("f =~ math1 + math2 + math3 + reading1\nf ~ ses", data, meanstructure=True)


def ordered(data) -> ml.Fit:
    cut = {f"u{i}": pd.cut(data[f"math{i}"], 3, labels=False) for i in (1, 2, 3)}
    return ml.cfa("f =~ u1 + u2 + u3", data.assign(**cut), ordered=True)


FITS = {
    "two levels": lambda data: ml.sem(TWO, data, cluster="school"),
    "groups": lambda data: ml.sem("f =~ math1 + math2 + math3", data, group="kind", group_equal="loadings"),
    "ordered": ordered,
    "clusters": lambda data: ml.sem("f =~ math1 + math2 + math3", data, cluster="school"),
    "network": lambda data: ml.ml_ggm(data, clusters="school", vars=["math1", "math2", "math3"]).fit(),
}


@pytest.mark.parametrize("word", LAVINSPECT)
def test_every_word_of_lavinspect_is_known(word):
    name = word.lower().replace("_", ".").replace("-", ".")
    assert (name in INSPECT_NAMES) != (name in INSPECT_REFUSED)


@pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning", "ignore::mlsem_jax.ModelWarning")
@pytest.mark.parametrize("kind", FITS)
def test_every_word_is_answered_by_a_value_or_a_sentence(data, kind, tmp_path):
    fit = FITS[kind](data)
    fits = [fit, ml.load(fit.save(tmp_path / "fit.json"))] if kind == "two levels" else [fit]
    for one in fits:
        answered = 0
        for word in WORDS:
            try:
                answer = repr(one.inspect(word))
            except (ml.ModelError, ml.DataError) as refused:
                answer = "" if len(str(refused)) > 20 else None
            assert answer is not None
            answered += bool(answer)
        assert answered > 90
    for word, told in INSPECT_REFUSED.items():
        with pytest.raises(ml.ModelError) as raised:
            fit.inspect(word)
        assert told in str(raised.value)


def test_a_table_of_the_documentation_is_made_of_the_words():
    spec = importlib.util.spec_from_file_location("write_inspect", DOCS / "write_inspect.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.page()
    assert module.PAGE.read_text(encoding="utf-8") == text, "run python docs/write_inspect.py"
    assert all(f"`{name}`" in text for name in (*INSPECT_NAMES, *INSPECT_REFUSED))
    names = [name for words in INSPECT_SECTIONS.values() for word in words for name in (word.name, *word.aliases)]
    assert len(names) == len(set(names))
    assert not set(names) & set(INSPECT_REFUSED)


def test_matrices_and_moments(two):
    free, partable = two.inspect("free")["within"], two.inspect("partable")["within"]
    table = two.parameter_estimates()
    row = table[(table.lhs == "f") & (table.rhs == "math2")].iloc[0]
    assert free["lambda"].loc["math2", "f"] == row["free"]
    assert table.iloc[int(partable["lambda"].loc["math2", "f"]) - 1]["rhs"] == "math2"
    assert free["lambda"].loc["math1", "f"] == 0
    est = two.inspect("est")["within"]
    for name in ("lambda", "theta", "psi", "beta", "nu", "alpha"):
        assert np.array_equal(two.inspect(name)["within"], est[name])
    every = two.inspect("cov.all")["between"]
    assert np.allclose(every.loc["b", "b"], two.inspect("cov.lv")["between"].loc["b", "b"])
    assert np.allclose(every.iloc[:3, :3], two.inspect("cov.ov")["between"])
    loadings = two.inspect("lambda")["between"]["b"]
    assert np.allclose(every.loc[loadings.index, "b"], loadings * every.loc["b", "b"])
    assert np.allclose(np.diag(two.inspect("cor.all")["between"]), 1)
    assert np.allclose(two.inspect("vy")["within"], np.diag(two.inspect("sigma")["within"]))
    assert two.inspect("nlevels") == 2
    assert two.inspect("level.label") == ["within", "school"]


def test_gradient_information_and_covariances(one):
    n, names = one.nobs, list(one.coef().index)
    assert list(one.inspect("gradient").index) == names
    assert np.allclose(one.inspect("gradient_logl"), -n * one.inspect("gradient"), atol=1e-9)
    # that of the option: expected in one level with complete data, whose inverse is N times the sampling covariance
    assert np.allclose(np.linalg.inv(one.inspect("information")) / n, one.vcov(), rtol=1e-6, atol=1e-10)
    assert np.allclose(one.inspect("inverted.information") / n, one.vcov(), rtol=1e-6, atol=1e-10)
    assert np.allclose(one.inspect("hessian"), one.inspect("information.observed"))
    scores = one.scores()
    assert np.allclose(scores.T @ scores / n, one.inspect("information.first.order"), atol=1e-8)
    step = 1e-4 * np.eye(len(names))[0]
    model, theta = one.model, np.asarray(one.estimation.model.theta)
    stats = one.estimation.statistics

    def loglik(at):
        import jax

        with jax.enable_x64(True):
            return float(ml.log_likelihood(model, at, stats))

    second = (loglik(theta + step) - 2 * loglik(theta) + loglik(theta - step)) / 1e-8
    assert -second / n == pytest.approx(one.inspect("hessian").iloc[0, 0], rel=1e-4)
    solution = one.standardized_solution()
    free = one.parameter_estimates()["free"].to_numpy() > 0
    errors = np.sqrt(np.diag(one.inspect("vcov.std.all")))
    assert np.allclose(errors, solution["se"][free], atol=1e-7)


def test_quantities_constraints_and_tests(two, one, data):
    defined = two.inspect("vcov.def")
    assert defined.loc["twice", "twice"] == pytest.approx(4 * two.vcov().loc["a", "a"])
    assert two.inspect("vcov.def.joint").loc["twice", "a"] == pytest.approx(2 * two.vcov().loc["a", "a"])
    test = one.inspect("test")["standard"]
    assert test["stat"] == one.fit_measures()["chisq"]
    assert one.inspect("baseline.test")["standard"]["df"] == one.fit_measures()["baseline.df"]
    assert one.inspect("mi").equals(one.modification_indices())
    assert one.inspect("fit.measures").equals(one.fit_measures())
    equal = ml.sem("f =~ math1 + a*math2 + b*math3\na == b\na > 0.1", data)
    table = equal.inspect("constraints")
    assert list(table["active"]) == [True, False]
    basis = equal.inspect("constraints.nullspace")
    assert np.allclose(basis.loc["a"], basis.loc["b"])


def test_rows_and_clusters(two, data):
    index = two.inspect("cluster.idx")
    ids = two.inspect("cluster.id")
    assert (ids[index.to_numpy() - 1] == data["school"].to_numpy()).all()
    assert (two.inspect("cluster.label") == data["school"]).all()
    sizes = data["school"].value_counts()
    assert list(two.inspect("cluster.sizes")) == sorted(sizes.unique())
    assert two.inspect("ncluster.size") == sizes.nunique()
    n = len(data)
    assert two.inspect("average.cluster.size") == pytest.approx((n**2 - (sizes**2).sum()) / (n * (len(sizes) - 1)))
    assert list(two.inspect("case.idx")) == list(data.index)


def test_the_nearest_word_is_told(two):
    with pytest.raises(ml.ModelError, match=r"Did you mean 'cluster\.size'"):
        two.inspect("clustersize")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert two.inspect("COV_LV").keys() == {"within", "between"}
