"""Statistics of limited information: stored cases, theory, and what happens at the edges."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import reference_root

from mlsem_jax import DataError
from mlsem_jax.ordinal import BETWEEN_ONLY, WITHIN_ONLY, OrdinalData, limited_information


def stored(case):
    folder = reference_root() / "categorical" / case
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    told, table = json.loads((folder / "case.json").read_text()), pd.read_csv(folder / "data.csv")
    ordered, cluster = told["call"]["args"]["ordered"], told["call"]["args"].get("cluster")
    names = [name for name in table if name not in (cluster, "x")]
    x = table[["x"]].to_numpy(float) if "x" in table else None
    data = OrdinalData(
        values=table[names].to_numpy(float),
        categories=np.array([table[n].nunique() if n in ordered else 0 for n in names]),
        level=np.zeros(len(names), int),
        names=tuple(names),
        cluster=None if cluster is None else np.unique(table[cluster], return_inverse=True)[1],
        covariates=x,
        covariate_level=None if x is None else np.ones(1, int),
        covariate_names=() if x is None else ("x",),
    )
    lowest = [np.nanmin(data.values[:, j]) if k else 0 for j, k in enumerate(data.categories)]
    return told["expected"]["statistics"][0], changed(data, values=data.values - lowest)


def changed(data, **what):
    return OrdinalData(**{**data.__dict__, **what})


@pytest.mark.parametrize(
    "case", ["wlsmv-cfa", "wlsmv-sem-mixed", "wlsmv-2l-cfa", "wlsmv-2l-cfa-large", "wlsmv-2l-mixed"]
)
def test_stored_statistics(case):
    expected, data = stored(case)
    found = limited_information(data)
    assert list(found.names) == expected["names"]
    np.testing.assert_allclose(found.values, expected["values"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(found.acov)), expected["se"], rtol=1e-7)
    assert not found.perfect
    assert not found.added
    assert not found.no_between_variance


def simulated(seed=3, n=300, missing=0.0, clusters=None, p=3):
    """Binary and ordered items of one factor and a number."""
    rng = np.random.default_rng(seed)
    cluster = None if clusters is None else np.sort(rng.integers(clusters, size=n))
    common = rng.normal(size=n) + (0 if clusters is None else 0.7 * rng.normal(size=clusters)[cluster])
    y = 0.7 * common[:, None] + rng.normal(size=(n, p))
    values = np.column_stack([y[:, 0] > 0.2, np.searchsorted([-0.5, 0.6], y[:, 1]), 3 * y[:, 2] + 40]).astype(float)
    values[rng.random(values.shape) < missing] = np.nan
    level = np.zeros(3, int)
    return OrdinalData(values, np.array([2, 3, 0]), level, ("u", "v", "y"), cluster)


def test_two_levels_without_between_parts_are_one_level_with_clusters_as_units():
    data = simulated()
    one = limited_information(data)
    two = limited_information(changed(data, cluster=np.arange(300), level=np.full(3, WITHIN_ONLY)))
    top = limited_information(changed(data, cluster=np.arange(300), level=np.full(3, BETWEEN_ONLY)))
    for other in (two, top):
        np.testing.assert_allclose(other.values, one.values, atol=1e-12)
        np.testing.assert_allclose(other.acov, one.acov, atol=1e-12)
    assert [name.replace("~b~", "~w~") for name in top.names] == list(one.names) == list(two.names)


def test_rows_twice_in_their_clusters_are_the_rows():
    data = simulated()
    one = limited_information(changed(data, cluster=None))
    twice = changed(
        data, cluster=None, values=np.repeat(data.values, 2, axis=0), independent=np.repeat(np.arange(300), 2)
    )
    two = limited_information(twice)
    np.testing.assert_allclose(two.values, one.values, atol=1e-9)
    np.testing.assert_allclose(two.acov, one.acov, rtol=1e-6, atol=1e-12)
    assert (one.clusters, two.clusters) == (0, 300)
    alone = limited_information(changed(data, cluster=None, independent=np.arange(300)))
    np.testing.assert_allclose(alone.acov, one.acov, atol=1e-12)


def test_one_level_of_a_number_and_thresholds_in_closed_form():
    data = simulated()
    found = dict(zip((r := limited_information(data)).names, r.values, strict=True))
    y = data.values[:, 2]
    np.testing.assert_allclose([found["y~1"], found["y~w~y"]], [y.mean(), y.var()], rtol=1e-12)
    se = dict(zip(r.names, np.sqrt(np.diag(r.acov)), strict=True))
    share = (data.values[:, 0] == 0).mean()
    from scipy.stats import norm

    tau = norm.ppf(share)
    np.testing.assert_allclose(found["u|t1"], tau, rtol=1e-12)
    np.testing.assert_allclose(se["u|t1"], np.sqrt(share * (1 - share) / 300) / norm.pdf(tau), rtol=1e-10)


@pytest.mark.parametrize("clusters", [None, 40])
def test_weights_of_two_are_rows_twice(clusters):
    """Of rows with one level, of clusters with two: the sampling covariance matrix has their squares."""
    data = simulated(clusters=clusters)
    units = 300 if clusters is None else clusters
    weight = 1.0 + (np.arange(units) % 3 == 0)
    field = {"weights": weight} if clusters is None else {"cluster_weights": weight}
    weighted = limited_information(changed(data, **field))
    if clusters is None:
        again = np.repeat(np.arange(300), weight.astype(int))
        twice = changed(data, values=data.values[again])
    else:
        copies = [(j, c) for j in range(units) for c in range(int(weight[j]))]
        rows = [np.flatnonzero(data.cluster == j) for j, _ in copies]
        new = np.repeat(np.arange(len(copies)), [r.size for r in rows])
        twice = changed(data, values=data.values[np.concatenate(rows)], cluster=new)
    np.testing.assert_allclose(weighted.values, limited_information(twice).values, atol=1e-8)
    assert np.all(np.diag(weighted.acov) > np.diag(limited_information(twice).acov))


def test_units_of_numbers_do_not_matter():
    data = simulated(clusters=40)
    found, scaled = (limited_information(changed(data, values=data.values * [1, 1, f])) for f in (1.0, 1e5))
    power = np.array([name.count("y") for name in found.names])
    np.testing.assert_allclose(scaled.values, found.values * 1e5**power, rtol=1e-7)
    np.testing.assert_allclose(np.diag(scaled.acov), np.diag(found.acov) * 1e10**power, rtol=1e-7)


def test_large_clusters_have_grids_of_their_own(monkeypatch):
    data = simulated(clusters=20)
    data = changed(
        data, values=data.values[:, :2], categories=np.array([2, 3]), level=np.zeros(2, int), names=("u", "v")
    )
    found = limited_information(data)
    monkeypatch.setattr("mlsem_jax.ordinal.limited._stages.MOST_NODES", 100)
    own = limited_information(data)
    np.testing.assert_allclose(own.values, found.values, atol=1e-8)
    np.testing.assert_allclose(own.acov, found.acov, atol=1e-8)


def test_order_of_variables_and_rows_does_not_matter():
    data = simulated(clusters=40, missing=0.1)
    found = limited_information(data)
    rows, columns = np.random.default_rng(0).permutation(300), [2, 0, 1]
    other = limited_information(
        changed(
            data,
            values=data.values[rows][:, columns],
            cluster=data.cluster[rows],
            categories=data.categories[columns],
            names=tuple(data.names[j] for j in columns),
        )
    )

    def key(name):
        parts = name.split("~")
        return "~".join(sorted(parts[::2]) + parts[1:2]) if len(parts) == 3 else name

    value = {key(n): (v, a) for n, v, a in zip(other.names, other.values, np.diag(other.acov), strict=True)}
    for name, v, a in zip(found.names, found.values, np.diag(found.acov), strict=True):
        np.testing.assert_allclose(value[key(name)], (v, a), rtol=1e-6)


def test_missing_values_are_pairwise():
    data = simulated(missing=0.2)
    found = limited_information(data)
    seen = np.isfinite(data.values[:, :2]).all(axis=1)
    assert found.rows[0, 1] == seen.sum()
    assert found.rows[2, 2] == np.isfinite(data.values[:, 2]).sum()
    # a variable by itself does not know of the others
    alone = changed(data, values=data.values[:, 2:], categories=np.zeros(1, int), level=np.zeros(1, int), names=("y",))
    np.testing.assert_allclose(limited_information(alone).values, found.values[[4 - 1, 5 - 1]], rtol=1e-12)


def table(counts, cluster=None):
    u, v = (np.repeat(g.ravel(), np.ravel(counts)) for g in np.indices(np.shape(counts)))
    return OrdinalData(np.column_stack([u, v]).astype(float), np.array(np.shape(counts)), np.zeros(2, int), ("u", "v"))


def test_an_empty_cell_of_a_two_by_two_table_holds_half_a_row():
    found = limited_information(table([[40, 30], [0, 30]]))
    # lavaan's rule keeps the margins
    np.testing.assert_allclose(found.values[-1], limited_information(table([[79, 61], [1, 59]])).values[-1], atol=1e-10)
    assert found.added == (("u", "v"),)
    assert found.empty_cells == (("u", "v", 1),)
    larger = limited_information(table([[40, 30, 5], [0, 30, 10]]))
    assert not larger.added
    assert larger.empty_cells == (("u", "v", 1),)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_correlation_of_one_is_reported(sign):
    counts = np.array([[40, 0], [0, 60]])
    found = limited_information(table(counts if sign == 1 else counts[:, ::-1]))
    assert found.perfect == (("u", "v", 1, sign),)
    assert found.values[-1] == pytest.approx(sign)
    assert np.isfinite(found.acov).all()


def test_a_category_without_rows_and_a_variable_without_variance_are_told():
    data = simulated()
    with pytest.raises(DataError, match=r"'v'.*categories 4"):
        limited_information(changed(data, categories=np.array([2, 4, 0])))
    with pytest.raises(DataError, match="'y' does not vary"):
        limited_information(changed(data, values=data.values * [1, 1, 0]))


def test_a_variable_that_varies_between_clusters_alone_is_told():
    data = simulated(clusters=40)
    values = data.values.copy()
    values[:, 0] = (data.cluster % 3 == 0).astype(float)
    with pytest.raises(DataError, match="'u' hardly varies within clusters"):
        limited_information(changed(data, values=values))


def test_a_variable_without_between_variance_is_reported():
    data = simulated(n=400)
    cluster = np.arange(400) % 40
    values = data.values.copy()
    values[:, 0] = (np.arange(400) // 40) % 2  # the same in all clusters
    found = limited_information(changed(data, values=values, cluster=cluster))
    assert "u" in found.no_between_variance
    assert np.isfinite(found.values).all()
