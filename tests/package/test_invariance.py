"""What must not change a fit: order of rows, names of clusters, order of the text, units. One model, so one set of programs."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlsem_jax as ml

INDICATORS = ["math1", "math2", "math3"]
WITHIN = ["m =~ math1 + math2 + math3", "m ~ ses + girl"]
BETWEEN = ["a =~ math1 + math2 + math3", "a ~ size + public"]
MODEL = "\n".join(["level: 1", *WITHIN, "level: 2", *BETWEEN])

pytestmark = pytest.mark.timeout(240)
# fits take long enough that a failing example is reported as it is, not shrunk
GENERATE = (Phase.explicit, Phase.generate)


def by_row(table: pd.DataFrame, column: str) -> pd.Series:
    """A column of the parameter table, indexed by lhs, op, rhs and level, with the two sides of ~~ in alphabetical order."""
    swap = (table.op == "~~") & (table.lhs > table.rhs)
    left, right = table.lhs.where(~swap, table.rhs), table.rhs.where(~swap, table.lhs)
    return pd.Series(table[column].to_numpy(), pd.MultiIndex.from_arrays([left, table.op, right, table.level]))


def assert_same(fit: ml.Fit, original: ml.Fit) -> None:
    """Same likelihood to rounding of its sums, same estimates to a millionth of a standard error."""
    assert fit.converged
    assert fit.loglik == pytest.approx(original.loglik, rel=1e-12)
    assert fit.estimation.h1.value == pytest.approx(original.estimation.h1.value, rel=1e-12)
    table, want = fit.parameter_estimates(), original.parameter_estimates()
    est, want_est = by_row(table, "est"), by_row(want, "est")
    se, want_se = by_row(table, "se"), by_row(want, "se")
    assert set(est.index) == set(want_est.index)
    scale = want_se.where(want_se > 0, 1.0)
    assert ((est.reindex(want_est.index) - want_est).abs() <= 1e-6 * scale).all()
    assert ((se.reindex(want_se.index) - want_se).abs().fillna(0.0) <= 1e-6 * scale).all()


SCHOOLS = ml.datasets.load_schools()


@functools.cache
def original(estimator: str = "MLR") -> ml.Fit:
    return ml.sem(MODEL, SCHOOLS, cluster="school", estimator=estimator)


@settings(max_examples=4, phases=GENERATE)
@given(seed=st.integers(0, 10**6))
def test_order_of_rows(seed):
    order = np.random.default_rng(seed).permutation(len(SCHOOLS))
    assert_same(ml.sem(MODEL, SCHOOLS.iloc[order], cluster="school", estimator="MLR"), original())


LABELS = {
    "integers with gaps": lambda codes: 10 * codes**2 - 7,
    "floats": lambda codes: codes + 0.5,
    "shuffled strings": lambda codes: np.array([f"id {(37 * c) % 101}" for c in codes]),
    "categorical with unused levels": lambda codes: pd.Categorical.from_codes(
        codes, [f"c{(53 * c) % 211}" for c in range(150)]
    ),
    "dates": lambda codes: pd.Timestamp("2020-01-01") + pd.to_timedelta(codes, "D"),
    "tuples": lambda codes: pd.Series([(int(c) // 7, int(c) % 7) for c in codes], dtype=object).to_numpy(),
}


@pytest.mark.parametrize("kind", LABELS)
def test_cluster_ids_of_any_kind(kind):
    codes = pd.factorize(SCHOOLS["school"])[0]
    relabelled = SCHOOLS.assign(school=LABELS[kind](codes))
    assert_same(ml.sem(MODEL, relabelled, cluster="school", estimator="MLR"), original())


@pytest.mark.parametrize("index", ["duplicated", "strings", "dates"])
def test_row_index_is_only_a_label(index):
    count = len(SCHOOLS)
    made = {
        "duplicated": np.arange(count) % 7,
        "strings": [f"row {i % 100}" for i in range(count)],
        "dates": pd.date_range("2000-01-01", periods=count),
    }[index]
    assert_same(ml.sem(MODEL, SCHOOLS.set_axis(made), cluster="school", estimator="MLR"), original())


def test_columns_of_any_numeric_kind():
    """Integers, booleans, nullable and Arrow columns hold the same numbers; a column that the model does not use may be text."""
    changed = SCHOOLS.assign(
        girl=SCHOOLS["girl"].astype(bool),
        public=SCHOOLS["public"].astype("Int8"),
        math1=SCHOOLS["math1"].astype("float64[pyarrow]"),
        note="free text",
    )
    assert_same(ml.sem(MODEL, changed, cluster="school", estimator="MLR"), original())


def test_single_precision_columns():
    """float32 columns are what they hold, computed in double precision."""
    single = SCHOOLS.astype(dict.fromkeys([*INDICATORS, "ses", "size"], "float32"))
    double = single.astype(dict.fromkeys([*INDICATORS, "ses", "size"], "float64"))
    assert_same(ml.sem(MODEL, single, cluster="school"), ml.sem(MODEL, double, cluster="school"))


@settings(max_examples=6, phases=GENERATE)
@given(
    within=st.permutations(WITHIN),
    between=st.permutations(BETWEEN),
    swapped=st.booleans(),
    predictors=st.permutations(["size", "public"]),
)
def test_order_of_the_text(within, between, swapped, predictors):
    """Lines within a level, the two level blocks, and predictors in any order."""
    between = [line.replace("size + public", " + ".join(predictors)) for line in between]
    blocks = [["level: 1", *within], ["level: 2", *between]]
    text = "\n".join(line for block in (blocks[::-1] if swapped else blocks) for line in block)
    assert_same(ml.sem(text, SCHOOLS, cluster="school", estimator="MLR"), original())


FACTORS = st.sampled_from((1e-6, 1e-3, 0.2, 1.0, 30.0, 1e3, 1e6))
VARIABLES = [*INDICATORS, "ses", "girl", "size", "public"]


@settings(max_examples=6, phases=GENERATE)
@given(factors=st.lists(FACTORS, min_size=7, max_size=7))
def test_units_of_the_variables(factors):
    """Each variable in units of its own, up to 1e12 apart: the same fit, with estimates in the new units."""
    scale = pd.Series(factors, VARIABLES)
    fit = ml.sem(
        MODEL, SCHOOLS.assign(**{v: SCHOOLS[v] * scale[v] for v in VARIABLES}), cluster="school", estimator="MLR"
    )
    assert fit.converged
    measures, want = fit.fit_measures(), original().fit_measures()
    for name in ("chisq", "chisq.scaled", "baseline.chisq", "rmsea", "cfi", "srmr"):
        assert measures[name] == pytest.approx(want[name], abs=1e-6, rel=1e-6), name
    shift = fit.nobs * np.log(scale[INDICATORS]).sum()
    assert fit.loglik + shift == pytest.approx(original().loglik, abs=1e-6)
    got, old = fit.parameter_estimates(standardized=True), original().parameter_estimates(standardized=True)
    # both factors take the units of their first indicator
    units = scale.reindex([*VARIABLES, "m", "a"]).fillna(scale["math1"])
    left, right = units[old.lhs].to_numpy(), units.reindex(old.rhs).fillna(1.0).to_numpy()
    change = np.select(
        [old.op == "~", old.op == "=~", old.op == "~~"], [left / right, right / left, left * right], left
    )
    se = old.se.where(old.se > 0, old.est.abs())
    assert ((got.est / change - old.est).abs() <= 1e-5 * se).all()
    assert ((got.se / change - old.se).abs().fillna(0.0) <= 1e-5 * se).all()
    assert ((got["std.all"] - old["std.all"]).abs() <= 1e-6).all()


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@settings(max_examples=3, phases=GENERATE)
@given(ses=st.sampled_from((-50.0, 0.3, 7.0)), size=st.sampled_from((0.0, -20.0, 1.0)))
def test_origin_of_the_covariates(estimator, ses, size):
    """Adding constants to covariates of either level changes intercepts alone, standard errors included."""
    moved = SCHOOLS.assign(ses=SCHOOLS["ses"] + ses, size=SCHOOLS["size"] + size)
    fit = ml.sem(MODEL, moved, cluster="school", estimator=estimator)
    same = original(estimator)
    assert fit.loglik == pytest.approx(same.loglik, abs=1e-7)
    got, want = fit.parameter_estimates(), same.parameter_estimates()
    free = (want.op != "~1") & (want.se > 0)
    assert free.sum() == 16
    assert ((got.est - want.est).abs()[free] <= 1e-6 * want.se[free]).all()
    assert ((got.se - want.se).abs()[free] <= 1e-6 * want.se[free]).all()
    est = by_row(want, "est")
    for y in INDICATORS:
        change = est["m", "=~", y, 1] * est["m", "~", "ses", 1] * ses
        change += est["a", "=~", y, 2] * est["a", "~", "size", 2] * size
        intercept = (want.lhs == y) & (want.op == "~1") & (want.level == 2)
        assert got.est[intercept].item() == pytest.approx(want.est[intercept].item() - change, abs=1e-6)


# ---------------------------------------------------------------- h1
SMALL = """
level: 1
  f =~ y1 + y2 + y3
level: 2
  g =~ y1 + y2 + y3
"""
RESTRICTED = """
level: 1
  y1 ~~ 0*y2 + y3
  y2 ~~ y3
level: 2
  g =~ 1*y1 + 1*y2 + 1*y3
  g ~~ 0*g
"""


@settings(max_examples=12, phases=GENERATE)
@given(
    seed=st.integers(0, 10**6),
    between_sd=st.sampled_from((0.0, 0.1, 0.5, 2.0)),
    model=st.sampled_from((SMALL, RESTRICTED)),
)
def test_the_unrestricted_model_is_never_below_the_model(seed, between_sd, model):
    """Also where the between covariance is nothing but noise, so that its maximum-likelihood estimate is indefinite."""
    rng = np.random.default_rng(seed)
    sizes = np.tile([2, 3, 5, 9], 8)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    factor = rng.normal(size=(len(cluster), 1))
    effect = rng.normal(size=(len(sizes), 1)) + 0.5 * rng.normal(size=(len(sizes), 3))
    y = factor + 0.8 * rng.normal(size=(len(cluster), 3)) + between_sd * effect[cluster]
    data = pd.DataFrame(y, columns=["y1", "y2", "y3"]).assign(cluster=cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # improper solutions are expected here
        fit = ml.sem(model, data, cluster="cluster")
    h0, h1 = fit.estimation.model.value, fit.estimation.h1.value
    assert h1 >= h0 - 1e-9
    if fit.converged:
        assert fit.fit_measures()["chisq"] == pytest.approx(2 * (h1 - h0), abs=1e-8)
