"""What prepare says to bad data. Names in `lavaan` comments are the ids of lavaan's own cases of the same mistake."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import pytest

from mlsem_jax._errors import DataError
from mlsem_jax.data import check_clusters, group_labels, prepare

WITHIN, BETWEEN = ("y1", "y2", "y3", "x1", "x2", "x3"), ("y1", "y2", "y3", "w1", "w2")
CLUSTERS, SIZE = 40, 6


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    code = np.repeat(np.arange(CLUSTERS), SIZE)
    data = {name: rng.normal(size=len(code)) + rng.normal(size=CLUSTERS)[code] for name in ("y1", "y2", "y3", "y6")}
    data |= {name: rng.normal(size=len(code)) for name in ("x1", "x2", "x3")}
    data |= {name: rng.normal(size=CLUSTERS)[code] for name in ("w1", "w2")}
    return pd.DataFrame(data | {"cluster": code + 1})


def run(data, **changes):
    options = {
        "cluster": "cluster",
        "within": WITHIN,
        "between": BETWEEN,
        "covariates_within": ("x1", "x2", "x3"),
        "covariates_between": ("w1", "w2"),
    }
    return prepare(data, **(options | changes))


def refusal(data, **changes) -> str:
    with pytest.raises(DataError) as caught:
        run(data, **changes)
    return str(caught.value)


def says(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, text


# --- names ------------------------------------------------------------------------------------------------------------


def test_no_cluster_argument(frame):  # lavaan: no-cluster-argument
    says(refusal(frame, cluster=None), "needs cluster=", "Perhaps cluster='cluster'?")


def test_unknown_cluster(frame):  # lavaan: unknown-cluster
    says(refusal(frame, cluster="clutser"), "no column 'clutser'", "cluster=", "Did you mean 'cluster'?")
    says(refusal(frame, cluster="school"), "no column 'school'", "The columns are y1, y2")


def test_two_cluster_variables(frame):  # lavaan: two-cluster-variables
    says(refusal(frame, cluster=["cluster", "w1"]), "takes one column, not 2", "'cluster', 'w1'", "data['both']")
    assert run(frame, cluster=["cluster"]).nclusters == CLUSTERS


def test_cluster_must_be_a_name(frame):
    says(refusal(frame, cluster=frame["cluster"]), "cluster= takes the name of a column, not Series")


def test_unknown_variable(frame):  # lavaan: unknown-variable
    says(
        refusal(frame, within=("y1", "y33"), between=("y1", "y33")),
        "Variable 'y33' at levels 1 and 2 is not in the data",
        "Did you mean 'y3'",
    )


def test_many_unknown_variables_are_cut(frame):
    text = refusal(frame, within=[f"item{i}" for i in range(200)], between=("w1",))
    says(text, "200 variables", "'item0' at level 1", "and 195 more")
    assert len(text) < 600


def test_cluster_or_group_as_model_variable(frame):
    says(refusal(frame, within=(*WITHIN, "cluster")), "'cluster' is the cluster variable", "level 1")
    says(refusal(frame.assign(g=frame.cluster % 2), group="g", between=(*BETWEEN, "g")), "'g' is the grouping variable")
    says(refusal(frame, group="cluster"), "both cluster= and group=")


def test_duplicate_column_names(frame):
    says(refusal(frame[["y1", *frame.columns]]), "more than one column called 'y1'")
    twice = frame.assign(spare=0.0).rename(columns={"spare": "y6"})
    assert run(twice).nrows == len(frame)  # a duplicate that the model does not use does no harm


def test_no_rows_and_no_variables(frame):  # psychonetrics: zero_rows
    says(refusal(frame.iloc[:0]), "no rows")
    says(refusal(frame, within=(), between=()), "no observed variable")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (None, "not NoneType"),
        ("pupils.csv", "pandas.read_csv('pupils.csv')"),
        (np.zeros((3, 2)), "columns=[...]"),
        ([1, 2], "not list"),
        ({"y1": [1.0, 2.0], "w1": [1.0, 2.0], "cluster": [1]}, "differ in length"),
        ({"y1": np.zeros((2, 2)), "w1": [1.0, 2.0], "cluster": [1, 2]}, "one-dimensional"),
    ],
)
def test_not_a_table(data, part):  # lavaan: data-matrix-summary; psychonetrics: data_not_data_frame
    says(refusal(data, within=("y1",), between=("w1",)), part)


# --- clusters and groups ----------------------------------------------------------------------------------------------


def test_missing_cluster_ids(frame):  # lavaan: cluster-has-na; psychonetrics: cluster_NA
    frame["cluster"] = frame["cluster"].astype(float)
    frame.loc[[3, 50, 70], "cluster"] = np.nan
    data = run(frame)
    assert data.nrows == len(frame) - 3
    assert data.rows_dropped == (("missing cluster id", 3),)
    assert data.warnings == ("3 rows were dropped: the cluster variable 'cluster' is missing.",)
    assert data.clusters_dropped == 0
    frame["cluster"] = np.nan
    says(refusal(frame), "No row belongs to a cluster", "240 with missing cluster id")


def test_missing_cluster_ids_of_one_level(frame):  # survey: cluster-missing-value
    frame["cluster"] = frame["cluster"].astype(float)
    frame.loc[[3, 50], "cluster"] = np.nan
    frame["g"] = np.where(frame.index < 10, "a", "b")
    one = {
        "within": ("y1", "y2", "y3"),
        "between": (),
        "covariates_within": (),
        "covariates_between": (),
        "single": True,
    }
    says(refusal(frame, **one), "cluster 'cluster' is missing in 2 rows (rows 3, 50)", "give the row its id", "dropna")
    says(refusal(frame.head(20), **one), "in 1 row (row 3)")
    says(refusal(frame, **one, group="g", group_label=["b"]), "in 1 row (row 50)")
    assert run(frame, **one, scoring=True).nrows == len(frame) - 2
    assert (
        run(frame.iloc[:40], **one, group="g", group_label=["b"]).nrows == 30
    )  # the row without an id is of the other group
    assert run(frame.dropna(subset=["cluster"]), **one).nrows == len(frame) - 2


def test_one_cluster(frame):  # lavaan: one-cluster; psychonetrics: one_cluster
    says(refusal(frame.assign(cluster=1)), "'cluster' has a single value (1)", "at least two clusters")


def test_all_singletons(frame):  # lavaan: all-singletons; psychonetrics: all_singletons_FIML
    text = refusal(frame.assign(cluster=range(len(frame))))
    says(text, "Every cluster of 'cluster' has a single row (240 clusters)", "number the rows")


def test_few_clusters_are_the_callers_decision(frame):  # lavaan: two-clusters, few-clusters
    data = run(frame[frame.cluster <= 3])
    (told,) = check_clusters(data.nrows, data.nclusters, p_within=6, p_between=5)
    says(told, "5 variables but only 3 clusters", "no maximum")
    assert check_clusters(1000, 100, 6, 5) == ()
    (told,) = check_clusters(105, 100, 6, 5)
    says(told, "Level 1 has 6 variables but only 5 degrees of freedom")


def test_group_that_varies_within_clusters(frame):  # lavaan: group-varies-within-cluster
    frame["g"] = np.arange(len(frame)) % 2
    text = refusal(frame, group="g")
    says(text, "'g' varies within 40 of 40 clusters", "1, 2, 3, 4, 5 and 35 more", "numbered anew", "astype(str)")
    data = run(frame, group="g", group_splits_clusters=True)
    assert data.nclusters == 2 * CLUSTERS
    assert data.group_labels == ("0", "1")
    np.testing.assert_array_equal(data.cluster_ids[:4], [1, 1, 2, 2])
    np.testing.assert_array_equal(data.group[:4], [0, 1, 0, 1])


def test_group_with_one_cluster(frame):
    frame["g"] = np.where(frame.cluster == 1, "solo", "rest")
    says(refusal(frame, group="g"), "single value in group 'solo'", "group_label=")
    assert run(frame, group="g", group_label=["rest"]).nclusters == CLUSTERS - 1


def test_group_labels_missing_unknown_single(frame):
    frame["g"] = np.where(frame.cluster < 3, np.nan, frame.cluster % 2)
    assert group_labels(frame, "g") == ("1", "0")
    data = run(frame, group="g")
    assert data.rows_dropped == (("missing group", 2 * SIZE),)
    assert "grouping variable 'g' is missing" in data.warnings[0]
    says(refusal(frame, group="g", group_label=["1", "2"]), "group_label names '2'", "it holds 1, 0")
    says(refusal(frame, group="G"), "no column 'G' to use as group=", "'g'")
    single = run(frame.assign(g="all"), group="g")
    assert single.group_labels == ()
    assert "single value" in single.warnings[0]


# --- types ------------------------------------------------------------------------------------------------------------

REFUSED = {
    "numbers as text": (
        lambda y: y.astype(str),
        "numbers stored as text",
        "pandas.to_numeric(data['y2'])",
    ),  # string-column
    "categories as text": (lambda y: pd.Series(np.where(y > 0, "high", "low")), "text, such as", "0/1 indicators"),
    "text for missing": (lambda y: y.astype(object).where(y < 1, "refused"), "'refused'", "errors='coerce'"),
    "categorical": (lambda y: pd.cut(y, 5), "categorical (5 categories", ".cat.codes"),  # lavaan: factor-column
    "categories of numbers": (lambda y: y.round().astype("category"), "categorical", ".astype(float)"),
    "datetime": (lambda y: pd.Timestamp("2020") + pd.to_timedelta(y, "D"), "dates or times", ".dt.days"),
    "with a time zone": (
        lambda y: pd.Timestamp("2020", tz="UTC") + pd.to_timedelta(y, "D"),
        "dates or times",
        "origin",
    ),
    "timedelta": (lambda y: pd.to_timedelta(y, "D"), "dates or times", "origin"),
    "dates as objects": (
        lambda y: y.map(lambda v: datetime.date(2020, 1, 1)).astype(object),
        "dates or times",
        "origin",
    ),
    "complex": (lambda y: y + 1j, "complex", "must be real"),
    "complex objects": (lambda y: (y + 1j).astype(object), "complex", "must be real"),
    "lists": (lambda y: y.map(lambda v: [v]), "values of type list", "must be numbers"),
    "arrow text": (lambda y: y.astype(str).astype("string[pyarrow]"), "numbers stored as text", "to_numeric"),
    "arrow dates": (
        lambda y: (pd.Timestamp("2020") + pd.to_timedelta(y, "D")).astype("timestamp[ns][pyarrow]"),
        "dates or times",
        "origin",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_types_that_are_not_numbers(frame, case):
    change, *parts = REFUSED[case]
    frame["y2"] = change(frame["y2"])
    says(refusal(frame), "Variable 'y2' at levels 1 and 2", *parts)


ACCEPTED = {
    "bool": lambda y: y > 0,
    "int8": lambda y: (10 * y).astype("int8"),
    "float32": lambda y: y.astype("float32"),
    "Int64": lambda y: (10 * y).round().astype("Int64").where(y < 1),
    "boolean": lambda y: (y > 0).astype("boolean").where(y < 1),
    "Float32": lambda y: y.astype("Float32").where(y < 1),
    "arrow double": lambda y: y.where(y < 1).astype("double[pyarrow]"),
    "arrow int": lambda y: (10 * y).round().astype("Int64").where(y < 1).astype("int64[pyarrow]"),
    "Decimal": lambda y: y.map(lambda v: decimal.Decimal(str(v)) if v < 1 else None),
    "objects": lambda y: y.astype(object).where(y < 1, pd.NA),
    "None": lambda y: y.astype(object).where(y < 1, None),
    "sparse": lambda y: y.astype(pd.SparseDtype(float)),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_types_that_hold_numbers(frame, case):
    y = ACCEPTED[case](frame["y2"])
    data = run(frame.assign(y2=y), missing="ml")
    assert data.values.dtype == np.float64
    expected = np.array([np.nan if pd.isna(v) else float(v) for v in y])
    np.testing.assert_array_equal(data.values[:, 1], expected)


# --- values -----------------------------------------------------------------------------------------------------------


def test_infinite_values(frame):  # lavaan: infinite-value
    frame.loc[5, "y3"] = np.inf
    says(refusal(frame), "Variable 'y3' at levels 1 and 2 is infinite in 1 row (5)")
    frame.loc[4:, "y3"] = -np.inf
    says(refusal(frame), "infinite in 236 rows (4, 5, 6, 7, 8 and 231 more)")


@pytest.mark.parametrize("missing", ["listwise", "ml"])
def test_variable_without_values(frame, missing):  # lavaan: all-missing-variable
    says(refusal(frame.assign(y3=np.nan), missing=missing), "Variable 'y3' at levels 1 and 2 has no observed value")


def test_no_complete_row(frame):
    half = np.arange(len(frame)) % 2 == 0
    broken = frame.assign(y1=frame.y1.where(half), y2=frame.y2.where(~half))
    says(refusal(broken), "No row is complete", "'y1' 50%", "missing='ml'")
    assert run(broken, missing="ml").nrows == len(frame)


@pytest.mark.parametrize(("name", "level"), [("y3", "levels 1 and 2"), ("x3", "level 1"), ("w2", "level 2")])
def test_constant_variables(
    frame, name, level
):  # lavaan: constant-indicator, constant-covariate, constant-between-covariate
    says(refusal(frame.assign(**{name: 2.5})), f"Variable {name!r} at {level} is constant (always 2.5)", "Remove it")


def test_constant_in_one_group(frame):
    frame["g"] = np.where(frame.cluster % 2, "a", "b")
    frame["x1"] *= frame.g == "a"
    says(refusal(frame, group="g"), "Variable 'x1' at level 1 is constant in group 'b' (always 0)")


def test_between_only_that_varies_within(frame):  # lavaan: between-varies-within, level2-only-indicator-varies
    text = refusal(frame, between=("y1", "w1", "y6"))
    says(text, "Variable 'y6' at level 2 varies within 40 of 40 clusters (1, 2, 3, 4, 5 and 35 more)")
    says(text, "add 'y6' to level: 1 too", "cluster means")


def test_between_only_that_varies_in_one_or_two_clusters(frame):  # lavaan: between-varies-one-cluster, -two-clusters
    frame.loc[0, "w1"] += 1
    says(refusal(frame), "'w1' at level 2 varies within 1 of 40 clusters (1)", "Correct its values")
    frame.loc[4 * SIZE, "w1"] += 1
    says(refusal(frame), "varies within 2 of 40 clusters (1, 5)")


def test_swapped_levels(frame):  # lavaan: levels-reversed
    text = refusal(frame, within=("y1", "y2", "w1", "w2"), between=("y1", "y2", "x1", "x2"))
    says(text, "Are the levels swapped? 'w1', 'w2' at level 1 do not vary within clusters")
    text = refusal(frame, within=("y1", "y2"), between=("y1", "x1", "x2"))
    says(text, "Are the levels swapped? Everything that stands at level 2 alone varies")


def test_level_1_variable_without_within_variance(frame):  # lavaan: within-constant-in-clusters
    text = refusal(frame, within=("y1", "y2", "x1", "w1"), between=("y1", "y2", "w2"))
    says(text, "Variable 'w1' at level 1 does not vary within any cluster", "Move it to level: 2")
    text = refusal(frame, within=(*WITHIN, "w1"))
    says(text, "Variable 'w1' at levels 1 and 2", "Remove it from level: 1")


def test_codes_of_missing_values_are_said(frame):
    data = frame.copy()
    data.loc[[3, 8, 9], ["y1", "x2"]] = -99
    data.loc[5, "x2"] = 999
    first, second = run(data).warnings
    says(first, "The value -99", "'y1' (3 rows), 'x2' (3 rows)", "data.replace(-99, float('nan'))", "--na -99")
    says(second, "The value 999", "'x2' (1 row)")
    scale = frame.assign(x1=np.arange(len(frame)) % 5 + 1.0)
    scale.loc[7, "x1"] = 9
    says(run(scale).warnings[0], "The value 9 ")


@pytest.mark.parametrize("code", [-9, -99, -888, -99.9, 77, 96, 99, 666, 998, 9996, 99999, 9999999, 999999999])
def test_codes_of_any_length(frame, code):
    data = frame.assign(x1=np.arange(len(frame)) % 5 + 1.0, x2=frame.x2.abs())
    data.loc[[3, 8, 9], "x1"] = code
    data.loc[[20, 30, 40], "x2"] = code
    says(run(data).warnings[0], f"The value {code} ", "'x1' (3 rows), 'x2' (3 rows)", f"--na {code}.")


def test_variables_that_share_a_code_are_not_said_to_be_collinear_alone(frame):
    frame.loc[[3, 8, 9], ["x1", "x2"]] = 9999999
    says(
        refusal(frame),
        "The value 9999999 stands apart",
        "'x1' (3 rows), 'x2' (3 rows)",
        "'x1', 'x2' at level 1 are perfectly",
    )


def test_a_negative_code_among_values_that_are_never_negative(frame):
    income = np.exp(9 + frame.x1).round()
    income[[4, 9]] = -99
    says(run(frame.assign(x1=income)).warnings[0], "The value -99", "'x1' (2 rows)")
    money = (1000 * frame.x1).round()  # debts too
    money[4] = -99
    assert run(frame.assign(x1=money)).warnings == ()


@pytest.mark.parametrize("seed", range(5))
def test_values_of_every_kind_are_no_codes(frame, seed):
    rng, n = np.random.default_rng(seed), len(frame)
    kinds = {
        "ages": rng.integers(18, 100, n),
        "incomes": np.exp(rng.normal(9, 1, n)).round(),
        "scores": rng.normal(80, 8, n).round(),
        "counts": rng.poisson(3, n),
        "a scale from 1 to 7": rng.integers(1, 8, n),
        "from 1 to 9": rng.integers(1, 10, n),
        "tens": 11.0 * rng.integers(1, 10, n),
        "effect coding": rng.integers(-1, 2, n),
        "temperatures": rng.normal(0, 5, n).round(),
    }
    kinds["incomes"][0] = 99999
    for kind, values in kinds.items():
        assert run(frame.assign(x1=values)).warnings == (), kind


def test_values_among_others_are_no_codes(frame):
    # ages, temperatures and counts that happen to end at 99, -9 and 9
    rng = np.random.default_rng(2)
    ends = {"x1": (10, 99), "x2": (-9, 20), "x3": (0, 9)}
    data = frame.assign(
        **{name: rng.integers(low, high, len(frame), endpoint=True) for name, (low, high) in ends.items()}
    )
    data.loc[0, list(ends)] = 99, -9, 9
    assert data.x1.max() == 99
    assert data.x2.min() == -9
    assert run(data).warnings == ()


def test_no_variance_within_some_clusters_is_fine(frame):  # lavaan: level1-var-zero-within-some
    frame.loc[: SIZE - 1, "x1"] = 0.5
    assert run(frame).warnings == ()


def test_rounding_is_not_variance(frame):
    noise = np.random.default_rng(0).choice([0, 1e-15], len(frame))
    data = run(frame.assign(w1=frame.w1 * (1 + noise)))
    w1 = data.values[:, 6].reshape(CLUSTERS, SIZE)
    assert (w1 == w1[:, :1]).all()
    flat = frame.groupby("cluster").y1.transform("mean") * (1 + noise)
    says(refusal(frame.assign(x1=flat)), "'x1' at level 1 does not vary")


def test_zero_between_variance(frame):  # lavaan: zero-between-variance
    frame["y3"] -= frame.groupby("cluster").y3.transform("mean")
    (told,) = run(frame).warnings
    says(told, "Variable 'y3' has no variance between clusters")


def test_collinear_variables(frame):  # lavaan: duplicated-variable-collinear
    says(refusal(frame.assign(x3=frame.x1 + frame.x2)), "'x1', 'x2', 'x3' at level 1 are collinear", "Remove one")
    says(refusal(frame.assign(x3=5 - 2 * frame.x1)), "'x1', 'x3' at level 1 are perfectly correlated")
    says(refusal(frame.assign(w2=frame.w1 * 3)), "'w1', 'w2' at level 2 are perfectly correlated")
    shifted = frame.assign(x3=frame.x1 + frame.w1)  # within clusters the same, in all rows not
    says(refusal(shifted), "'x1', 'x3' at level 1")
    gaps = frame.assign(x3=frame.x1 + frame.x2, x1=frame.x1.where(frame.index % 5 > 0))
    says(refusal(gaps), "'x1', 'x2', 'x3' at level 1 are collinear")  # once incomplete rows are gone


def test_nearly_collinear_variables(frame):
    (told,) = run(frame.assign(x3=frame.x1 + 1e-4 * frame.x3)).warnings
    says(told, "'x1', 'x3' at level 1 are nearly collinear")


def test_own_cluster_mean_beside_a_variable_of_both_levels(frame):
    (told,) = run(frame.assign(w2=frame.groupby("cluster").y1.transform("mean"))).warnings
    says(told, "cluster means of 'y1', 'w2' are collinear")


# --- missing values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["pairwise", "two.stage", "robust.two.stage", None, "drop"])
def test_unknown_treatment_of_missing_values(frame, word):  # lavaan: missing-pairwise, missing-two-stage
    says(refusal(frame, missing=word), f"missing={word!r}", "'listwise'", "'ml'", "'fiml'", "'direct'")


def test_missing_ml_x(frame):
    says(refusal(frame, missing="ml.x"), "fixed_x=False")


def test_missing_between_covariate(frame):  # lavaan: missing-between-covariate
    frame.loc[frame.cluster.isin([1, 2]), "w1"] = np.nan
    data = run(frame, missing="ml")
    assert data.rows_dropped == (("missing fixed covariate", 2 * SIZE),)
    assert data.clusters_dropped == 2
    says(data.warnings[0], "12 rows were dropped", "(w1)", "fixed_x=False")
    kept = run(frame, missing="ml", covariates_within=(), covariates_between=())
    assert kept.nclusters == CLUSTERS
    assert np.isnan(kept.values[: 2 * SIZE, 6]).all()


def test_missing_within_covariate(frame):  # lavaan: missing-within-covariate
    frame.loc[[1, 40, 99], "x1"] = np.nan
    data = run(frame, missing="ml")
    assert data.rows_dropped == (("missing fixed covariate", 3),)
    assert (data.nrows, data.clusters_dropped) == (len(frame) - 3, 0)
    assert 40 not in data.row_index


# --- numbers that floating point cannot work with ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10**400, "an integer of about 400 digits"),
        (-(10**5000), "an integer of about 5000 digits"),
        (fractions.Fraction(10**400, 3), "floating point cannot hold"),
        (decimal.Decimal("sNaN"), "signalling NaN"),
        (decimal.Decimal("1e400"), "infinite in 1 row (0)"),
        (1e300, "values as large as 1e+300 in 1 row (0), too large to compute with"),
        (-1e100, "values as large as 1e+100 in 1 row (0), too large to compute with"),
    ],
    ids=range(7),
)
@pytest.mark.parametrize("scoring", [False, True], ids=str)
def test_one_value_that_cannot_be_computed_with(frame, value, words, scoring):
    frame["y2"] = pd.Series([value, *frame.y2[1:]], dtype=object)
    says(refusal(frame, scoring=scoring), "Variable 'y2' at levels 1 and 2", words)
    frame.loc[9, "y3"] = np.nan
    says(refusal(frame, missing="ml", scoring=scoring), "Variable 'y2'", words)


@pytest.mark.parametrize(
    ("name", "factor", "words"),
    [
        ("y2", 1e150, "data['y2'] / 1e150"),
        ("x2", 1e300, "data['x2'] / 1e300"),
        ("w2", 1e-150, "varies by no more than"),
        ("y2", 1e-310, "data['y2'] * 1e300"),
    ],
)
def test_columns_in_units_that_cannot_be_computed_with(frame, name, factor, words):
    says(refusal(frame.assign(**{name: frame[name] * factor})), f"Variable {name!r} at", "Change its unit", words)
    assert run(frame.assign(**{name: frame[name] * max(min(factor, 1e50), 1e-50)})).warnings == ()


@pytest.mark.parametrize("name", ["y1", "x1", "w1"])
def test_variation_far_from_zero(frame, name):
    """What varies is said to vary, as long as it does so in floating point; that it lost digits is said too."""
    (told,) = run(frame.assign(**{name: frame[name] + 1e12})).warnings
    says(told, f"Variable {name!r} at", "a mean of 1e+12", f"data[{name!r}] - data[{name!r}].mean()")
    says(refusal(frame.assign(**{name: frame[name] + 1e15})), f"Variable {name!r} at", "hardly a digit")
    assert run(frame.assign(**{name: frame[name] + 1e4})).warnings == ()


def test_small_differences_far_from_zero_are_no_rounding(frame):
    frame.loc[0, "w1"] += 1
    says(refusal(frame.assign(w1=frame.w1 + 1e12)), "'w1' at level 2 varies within 1 of 40 clusters (1)")
