"""Ids of clusters and groups: of any type, and the same id written in more than one way."""

import datetime

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.data import group_labels, prepare

J, SIZE = 30, 8
CODE = np.repeat(np.arange(J), SIZE)


def run(ids, **options):
    r = np.random.default_rng(0)
    data = pd.DataFrame({"y": r.normal(size=J)[CODE] + r.normal(size=len(CODE)), "x": r.normal(size=len(CODE))})
    data = data.assign(school=ids, **options.pop("columns", {}))
    return prepare(data, cluster="school", within=("y", "x"), between=("y",), **options)


def by_turns(*ways) -> pd.Series:
    """The ids, every row written in the next of the ways."""
    return pd.Series([ways[i % len(ways)](int(code)) for i, code in enumerate(CODE)], dtype=object)


WAYS = {
    "numbers and text": ((int, str), "such as 0 and '0'", "dtype={'school': str}"),
    "floating point and text": ((float, str), "such as 0.0 and '0'", "dtype={'school': str}"),
    "text of floating point": ((str, lambda v: f"{v}.0"), "such as '0' and '0.0'", "str.strip()"),
    "blanks": ((lambda v: f"s{v}", lambda v: f"s{v} ", lambda v: f"\xa0s{v}"), "such as 's0' and 's0 '", "str.strip()"),
    "leading zeros": ((int, lambda v: f"{v:03d}"), "such as 0 and '000'", "dtype={'school': str}"),
    "bytes and text": ((lambda v: f"s{v}", lambda v: f"s{v}".encode()), "'s0' and b's0'", "dtype={'school': str}"),
}


@pytest.mark.parametrize("case", WAYS)
def test_one_id_written_in_several_ways_is_one_cluster(case):
    ways, *words = WAYS[case]
    data = run(by_turns(*ways))
    assert data.nclusters == J
    np.testing.assert_array_equal(data.cluster, CODE)
    (told,) = data.warnings
    assert all(word in told for word in ("'school'", "30 ids", "one cluster", *words)), told


def test_numbers_beside_other_text_stay_apart():
    """As pandas reads a long file of which one id is alphanumeric."""
    ids = by_turns(int, str)
    ids[CODE == 3] = "A7"
    data = run(ids)
    assert data.nclusters == J
    assert "29 ids" in data.warnings[0]
    ids = pd.Series(CODE, dtype=object)
    ids[CODE == 3] = "A7"
    assert (run(ids).nclusters, run(ids).warnings) == (J, ())


def test_ids_that_may_be_two_are_refused():
    with pytest.raises(ml.DataError, match=r"cannot be told whether '000', 0, '0' are one id.*as text"):
        run(by_turns(lambda v: f"{v:03d}", int, str))


def test_text_that_differs_is_not_merged():
    assert run([f"{code:03d}" if code % 2 else str(code) for code in CODE]).warnings == ()
    ids = [f"{code // 2:03d}" if code % 2 else str(code // 2) for code in CODE]  # text throughout: zeros tell ids apart
    assert (run(ids).nclusters, run(ids).warnings) == (J, ())


@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_blank_ids_are_missing(blank):
    ids = [blank if i % 10 == 0 else f"s{code}" for i, code in enumerate(CODE)]
    data = run(ids)
    assert data.nclusters == J
    assert data.rows_dropped == (("missing cluster id", 24),)
    assert "In 24 rows the cluster variable 'school' is blank" in data.warnings[0]
    with pytest.raises(ml.DataError, match=r"No row belongs to a cluster.*blank"):
        run([blank] * len(CODE))


def test_words_and_codes_for_missing_ids_are_said():
    (told,) = run(["nan" if i % 10 == 0 else f"s{code}" for i, code in enumerate(CODE)]).warnings
    assert "is the text 'nan' in 24 rows" in told
    (told,) = run(np.where(CODE < 2, -99, CODE)).warnings
    assert "holds the value -99" in told
    (told,) = run(1e17 + 1e15 * CODE).warnings
    assert "more than 15 digits" in told


def test_groups_likewise():
    kinds = (lambda v: 1 + v % 2, lambda v: str(1 + v % 2))
    group = by_turns(*kinds)
    data = run(CODE, group="country", columns={"country": group})
    assert data.group_labels == ("1", "2") == group_labels(pd.DataFrame({"country": group}), "country")
    assert "grouping variable 'country' holds 2 ids" in data.warnings[0]
    blank = by_turns(lambda v: ["", "a", "b"][v % 3])
    data = run(CODE, group="country", columns={"country": blank})
    assert data.group_labels == ("a", "b")
    assert data.rows_dropped == (("missing group", 80),)


TYPES = {
    "tuples": by_turns(lambda v: (v, "a")),
    "dates": by_turns(lambda v: datetime.date(2020, 1, 1) + datetime.timedelta(v)),
    "bytes": by_turns(lambda v: f"s{v}".encode()),
    "time zones": pd.Series(pd.date_range("2020", periods=J, tz="UTC"))[CODE].reset_index(drop=True),
    "periods": pd.Series(pd.period_range("2020", periods=J, freq="M"))[CODE].reset_index(drop=True),
    "categories, some unused": pd.Series(pd.Categorical(CODE, categories=range(99))),
    "categories of text": pd.Series(pd.Categorical([f"s{code}" for code in CODE])),
    "sets": by_turns(lambda v: frozenset([v])),
}


@pytest.mark.parametrize("kind", TYPES)
def test_ids_of_any_type(kind):
    data = run(TYPES[kind])
    np.testing.assert_array_equal(data.cluster, CODE)
    assert data.warnings == ()


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: ([v],)])
def test_what_cannot_be_an_id(make):
    with pytest.raises(ml.DataError, match=r"'school' holds values of type .*can be ids"):
        run(by_turns(make))


def test_the_fit_counts_the_clusters_and_warns():
    r = np.random.default_rng(1)
    data = pd.DataFrame({"y": r.normal(size=J)[CODE] + r.normal(size=len(CODE)), "x": r.normal(size=len(CODE))})
    text = "level: 1\n y ~ x\nlevel: 2\n y ~~ y"
    with pytest.warns(ml.ModelWarning, match="written in more than one way"):
        fit = ml.sem(text, data.assign(school=by_turns(int, str)), cluster="school")
    assert fit.nclusters == J
    assert fit.loglik == pytest.approx(ml.sem(text, data.assign(school=CODE), cluster="school").loglik)
    model = ml.model(text, data.assign(school=CODE), cluster="school")
    with pytest.warns(ml.ModelWarning, match="written in more than one way"):
        stats = ml.statistics(model, [data.assign(school=by_turns(int, str))])
    assert "30 clusters" in repr(stats)
