"""Tables share what is the same for every fit of a model; what a user does to one changes no other."""

import warnings

import numpy as np
import pytest

import mlsem_jax as ml

TEXT = "f =~ a + b + c"


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(3)
    f = rng.normal(size=300)
    return ml.cfa(TEXT, {name: f + rng.normal(size=300) for name in "abc"}, meanstructure=True)


def test_a_changed_parameter_table_changes_no_other(fit):
    first = fit.parameter_estimates()
    before = first.to_dict("list")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first.loc[0, "lhs"] = "changed"
        first.loc[0, "level"] = 7
        first["est"] = 0.0
        first.index.name = "row"
        first.columns.name = "columns"
        first["lhs"].array[1] = "changed"
    again = fit.parameter_estimates()
    assert repr(again.to_dict("list")) == repr(before)
    assert again.index.name is None
    assert again.columns.name is None


def test_changed_measures_change_no_others(fit):
    first = fit.fit_measures()
    before = dict(first)
    first.index.name = "measure"
    first.iloc[0] = -1.0
    again = fit.fit_measures()
    assert repr(dict(again)) == repr(before)
    assert again.index.name is None


def test_changed_indices_change_no_others(fit):
    first = fit.modification_indices()
    before = first.to_dict("list")
    if len(first):
        first.loc[0, "lhs"] = "changed"
    assert repr(fit.modification_indices().to_dict("list")) == repr(before)


def test_changed_indices_of_a_model_with_candidates_change_no_others():
    rng = np.random.default_rng(4)
    f = rng.normal(size=200)
    fit = ml.cfa("f =~ a + b + c + d", {name: f + rng.normal(size=200) for name in "abcd"})
    first = fit.modification_indices()
    before = first.to_dict("list")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("lhs", "op", "rhs"):
            first[name].array[0] = "changed"
        first["mi"].array[0] = -1.0
    assert len(first)
    assert repr(fit.modification_indices().to_dict("list")) == repr(before)


def test_an_empty_table_of_indices_has_its_columns(fit):
    empty = fit.modification_indices(minimum_value=1e9)
    assert len(empty) == 0
    assert list(empty.columns) == list(fit.modification_indices().columns)
    assert (empty.dtypes == fit.modification_indices().dtypes).all()
