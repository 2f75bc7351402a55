"""ml.diagnose: what it computes and what it says."""

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

MODEL = "level: 1\n fw =~ y1 + y2 + y3\nlevel: 2\n fb =~ y1 + y2 + y3\n"


def simulated(clusters=40, size=6, icc=0.3, seed=1):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), size)
    between = random.standard_normal((clusters, 1)) + 0.5 * random.standard_normal((clusters, 3))
    within = random.standard_normal((len(cluster), 1)) + random.standard_normal((len(cluster), 3))
    values = np.sqrt(icc) * between[cluster] + np.sqrt(1 - icc) * within
    return pd.DataFrame(values, columns=["y1", "y2", "y3"]).assign(school=cluster)


def told(data, model=MODEL, **options):
    return " ".join(ml.diagnose(data, model, cluster="school", **options).advice)


def test_icc_is_the_analysis_of_variance_estimate():
    data = simulated()
    table = ml.diagnose(data, MODEL, cluster="school").to_dataframe().set_index("name")
    groups = data.groupby("school")["y1"]
    msb = 6 * groups.mean().var(ddof=1)
    msw = groups.var(ddof=1).mean()
    between = (msb - msw) / 6
    assert table.loc["y1", "icc"] == pytest.approx(between / (between + msw), rel=1e-12)
    assert table.loc["y1", "within"] == pytest.approx(msw, rel=1e-12)


def test_good_data_get_no_advice():
    result = ml.diagnose(simulated(clusters=60), MODEL, cluster="school")
    assert result.advice == ()
    assert "360 rows in 60 clusters" in str(result)
    assert "Nothing in the data" in str(result)


def test_variable_without_between_variance_is_named():
    data = simulated()
    # cluster means alike: less variance between than chance would make
    data["y2"] -= data.groupby("school")["y2"].transform("mean")
    text = told(data)
    assert "y2: no variance between clusters" in text
    assert "y1" not in text


def test_constant_variables_are_told_and_stop_nothing():
    data = simulated()
    data["y3"] = 4.0
    assert "y3: constant. Remove" in told(data)
    with pytest.raises(ml.DataError, match="y3"):
        ml.sem(MODEL, data, cluster="school")


def test_variable_constant_within_clusters_is_sent_to_level_2():
    data = simulated()
    data["y1"] = data.groupby("school")["y1"].transform("mean")
    assert "y1: constant within clusters. Name it at level: 2 only." in told(data)


def test_more_variables_than_clusters():
    text = told(simulated(clusters=3, size=30))
    assert "the unrestricted model has no maximum" in text
    assert "9 free parameters for 3 clusters" in text


def test_few_clusters():
    assert "standard errors of level 2" in told(simulated(clusters=20))


@pytest.mark.parametrize(("noise", "names"), [(0.01, "y1 and y2"), (0.0, "y1 and y2")])
def test_nearly_collinear_variables_are_named(noise, names):
    data = simulated()
    data["y2"] = data["y1"] + noise * np.random.default_rng(3).standard_normal(len(data))
    text = told(data)
    assert f"Nearly the same variable within clusters: {names}" in text


def test_collinear_set():
    data = simulated(clusters=60)
    data["y3"] = 0.5 * data["y1"] + 0.5 * data["y2"] + 0.001 * np.random.default_rng(3).standard_normal(len(data))
    assert "Nearly collinear within clusters: y1, y2, y3" in told(data)


def test_single_rows_and_units_and_missing_values():
    data = simulated(clusters=50)
    data = data[(data["school"] > 2) | ~data.duplicated("school")].copy()
    data["y2"] *= 1e6
    data.loc[data.index[:30:3], "y1"] = np.nan
    result = ml.diagnose(data, MODEL, cluster="school", missing="ml")
    text = " ".join(result.advice)
    assert "3 of 50 clusters have a single row" in text
    assert "standard deviations of y2 and y" in text
    table = result.to_dataframe().set_index("name")
    assert table.loc["y1", "missing"] == pytest.approx(10 / len(data))


def test_within_only_covariate_that_varies_between_clusters():
    data = simulated(clusters=60)
    model = "level: 1\n y1 + y2 ~ y3\nlevel: 2\n y1 ~~ y2\n"
    assert "y3: varies between clusters, but the model has it at level 1 only" in told(data, model)


def test_groups_are_told_apart():
    data = simulated(clusters=60)
    data["country"] = np.where(data["school"] < 30, "A", "B")
    data.loc[data["country"] == "B", "y1"] = 1.0
    result = ml.diagnose(data, MODEL, cluster="school", group="country")
    assert set(result.to_dataframe()["group"]) == {"A", "B"}
    assert any("y1 in group B: constant" in text for text in result.advice)


def test_groups_stand_in_the_order_of_group_label():
    """The first group of the text's blocks is the first of group_label, where each group has variables of its own."""
    rng, g = np.random.default_rng(2), np.repeat(np.arange(40), 4)
    group = np.where(g % 2, "b", "a")
    y = rng.normal(size=160) + rng.normal(size=40)[g]
    frame = pd.DataFrame(
        {"y": y, "x": np.where(group == "a", np.nan, y + rng.normal(size=160)), "g": g, "group": group}
    )
    model = "group: b\nlevel: 1\n y ~ x\nlevel: 2\n y ~~ y\ngroup: a\nlevel: 1\n y ~~ y\nlevel: 2\n y ~~ y"
    for order in (["b", "a"], ["a", "b"]):
        table = ml.diagnose(frame, model, "g", group="group", group_label=order).to_dataframe()
        own = {name: list(table.loc[table["group"] == name, "name"]) for name in order}
        assert own == {"b": ["y", "x"], "a": ["y"]}
        assert list(table["group"].drop_duplicates()) == order
    one = ml.diagnose(frame, "level: 1\n y ~ x\nlevel: 2\n y ~~ y", "g", group="group", group_label=["b"])
    assert "80 rows in 20 clusters" in str(one)
