"""What prepare returns: codes, order, kinds of table, missing values, and that it is fast."""

import time

import jax
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mlsem_jax import DataError
from mlsem_jax.data import TwoLevelData, column_names, group_labels, prepare, read_columns


def simulate(clusters=12, size=5, seed=1, shuffle=True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(clusters), size)
    code = rng.permutation(code) if shuffle else code
    data = {name: rng.normal(size=len(code)) + rng.normal(size=clusters)[code] for name in ("y1", "y2")}
    data["x"] = rng.normal(size=len(code))
    data["w"] = rng.normal(size=clusters)[code]
    data["school"] = np.array([f"s{c:02d}" for c in code], dtype=object)
    data["country"] = np.where(code % 3 == 0, "BE", "NL")
    return pd.DataFrame(data)


def run(data, **options) -> TwoLevelData:
    return prepare(data, cluster="school", within=("y1", "y2", "x"), between=("y2", "y1", "w"), **options)


def same(a: TwoLevelData, b: TwoLevelData) -> None:
    for name in ("values", "cluster", "group", "between_only"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.cluster_ids.astype(str), b.cluster_ids.astype(str))
    assert a.group_labels == b.group_labels
    assert a.rows_dropped == b.rows_dropped


def test_order_of_variables_and_codes():
    frame = simulate()
    data = run(frame, group="country")
    assert data.variables == ("y1", "y2", "x", "w")
    assert data.between_only.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(data.values, frame[["y1", "y2", "x", "w"]])
    assert data.cluster_ids.tolist() == frame.school.drop_duplicates().tolist()
    np.testing.assert_array_equal(data.cluster_ids[data.cluster], frame.school)
    np.testing.assert_array_equal(np.array(data.group_labels)[data.group[data.cluster]], frame.country)
    assert data.group_labels == tuple(frame.country.drop_duplicates()) == group_labels(frame, "country")
    assert (data.nrows, data.nclusters, data.ngroups) == (60, 12, 2)
    assert (data.cluster_name, data.group_name) == ("school", "country")
    assert data.row_index.equals(frame.index)
    assert data.warnings == ()


def test_group_label_selects_and_orders():
    frame = simulate()
    data = run(frame, group="country", group_label=("NL", "BE"))
    assert data.group_labels == ("NL", "BE")
    np.testing.assert_array_equal(np.array(data.group_labels)[data.group[data.cluster]], frame.country)
    only = run(frame, group="country", group_label="NL")
    assert only.group_labels == ()
    assert only.rows_dropped == (("group not among group_label", (frame.country == "BE").sum()),)
    assert only.nclusters == 8


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).lazy(),
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("school").cast(pl.Categorical)),
        pa.Table.from_pandas,
        lambda frame: pa.Table.from_pandas(frame).to_reader(max_chunksize=7),
        lambda frame: pa.RecordBatch.from_pandas(frame),
        lambda frame: {name: frame[name].tolist() for name in frame},
        lambda frame: {name: frame[name].to_numpy() for name in frame},
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.astype({"school": "category", "country": "category"}),
        lambda frame: frame.to_records(index=False),
    ],
)
def test_every_kind_of_table(convert):
    frame = simulate()
    frame.loc[[4, 9], "y2"] = np.nan
    table = convert(frame)
    assert column_names(table) == tuple(frame.columns)
    for missing in ("listwise", "ml"):
        same(run(table, group="country", missing=missing), run(frame, group="country", missing=missing))


def test_tables_of_dask():
    """Only the columns needed are computed, and nothing is warned of."""
    dd = pytest.importorskip("dask.dataframe")
    frame = simulate()
    table = dd.from_pandas(frame.assign(never=1), npartitions=3)
    table["never"] = table["never"].map_partitions(_refuse, meta=("never", "i8"))
    same(run(table, group="country"), run(frame, group="country"))


def _refuse(column):
    raise AssertionError("a column that no one needs is computed")


def test_relations_of_duckdb():
    duckdb = pytest.importorskip("duckdb")
    frame = simulate()
    frame.loc[[4, 9], "y2"] = np.nan
    connection = duckdb.connect()
    connection.register("frame", frame)
    for make in (lambda: connection.sql("select * from frame"), lambda: connection.sql("select * from frame").arrow()):
        table = make()
        assert column_names(table) == tuple(frame.columns)
        same(run(table, group="country", missing="ml"), run(frame, group="country", missing="ml"))


def test_a_stream_is_read_once_for_all_that_ask():
    """Names, groups and columns are asked for one after the other, and a stream has its rows once."""
    frame = simulate()
    stream = pa.Table.from_pandas(frame).to_reader(max_chunksize=7)
    for _ in range(2):
        same(run(stream, group="country"), run(frame, group="country"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"y1": 1.0, "school": "a"}, r"single value.*pandas\.DataFrame\(records\)"),
        ({"y1": np.zeros((2, 2)), "school": [1, 2]}, "one-dimensional"),
    ],
)
def test_what_looks_like_a_table_and_is_none(table, words):
    with pytest.raises(DataError, match=words):
        read_columns(table, ["y1", "school"])


def test_traced_columns_are_told():
    def traced(x):
        return read_columns({"y1": x * np.ones(4)}, ["y1"])

    with pytest.raises(DataError, match=r"'y1' of the data is traced.*ml\.statistics"):
        jax.grad(traced)(1.0)


class Capsule:
    """A table of another library that offers nothing but Arrow's C stream."""

    def __init__(self, frame):
        self.__arrow_c_stream__ = pa.Table.from_pandas(frame).__arrow_c_stream__


class Interchange:
    """A table of another library that offers nothing but the DataFrame interchange interface."""

    def __init__(self, frame):
        self.__dataframe__ = pa.Table.from_pandas(frame, preserve_index=False).__dataframe__


@pytest.mark.parametrize("wrap", [Capsule, Interchange])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_tables_of_other_libraries(wrap):
    frame = simulate()
    same(run(wrap(frame)), run(frame))


def test_column_names_that_are_numbers():
    frame = simulate().rename(columns={"y1": 1, "y2": 2})
    data = prepare(frame, cluster="school", within=("1", "2"), between=("1", "w"))
    np.testing.assert_array_equal(data.values[:, 0], frame[1])


@pytest.mark.parametrize("ids", [np.arange(12), np.arange(12) * 1.5, pd.date_range("2020", periods=12)])
def test_ids_keep_their_type(ids):
    frame = simulate()
    code = frame.school.str[1:].astype(int).to_numpy()
    data = run(frame.assign(school=np.asarray(ids)[code]))
    assert data.cluster_ids.dtype.kind == np.asarray(ids).dtype.kind
    same_as = run(frame)
    np.testing.assert_array_equal(data.cluster, same_as.cluster)


def test_the_callers_table_is_left_alone():
    frame = simulate()
    frame.loc[3, "w"] = np.nan
    before = frame.copy(deep=True)
    run(frame, missing="ml")
    pd.testing.assert_frame_equal(frame, before)


def test_listwise():
    frame = simulate()
    frame.index = [f"r{i}" for i in range(len(frame))]
    gone = frame.school == "s03"
    frame.loc[gone, "w"] = np.nan
    frame.loc[["r1", "r5"], "y1"] = np.nan
    data = run(frame)
    whole = frame.dropna()
    assert data.rows_dropped == (("missing values (listwise)", len(frame) - len(whole)),)
    assert data.clusters_dropped == 1
    assert "s03" not in data.cluster_ids
    assert list(data.row_index) == list(whole.index)
    same(data, TwoLevelData(**{**vars(run(whole)), "rows_dropped": data.rows_dropped}))
    unused = frame.assign(remark=np.nan)
    same(run(unused), data)


def test_ml_keeps_rows_and_completes_between_only_variables():
    frame = simulate()
    complete = frame["w"].copy()
    frame.loc[frame.groupby("school").cumcount() < 3, "w"] = np.nan
    frame.loc[frame.school == "s05", "w"] = np.nan
    frame.loc[7, ["y1", "y2", "x"]] = np.nan
    data = run(frame, missing="ml")
    assert (len(data.values), data.rows_dropped, data.clusters_dropped) == (len(frame), (), 0)
    assert data.nrows == len(frame) - 1  # a row without any level-1 value is kept but does not count
    expected = np.where(frame.school == "s05", np.nan, complete)
    np.testing.assert_array_equal(data.values[:, 3], expected)
    assert np.isnan(data.values[7, :3]).all()


def test_covariate_at_level_2_that_varies_within_keeps_its_rows():
    """Its cluster mean is latent: only fixed covariates of level 1 and between-only ones are conditioned on."""
    frame = simulate()
    frame.loc[2, "y2"] = np.nan
    assert run(frame, missing="ml", covariates_between=("y2", "w")).nrows == len(frame)
    assert run(frame, missing="ml", covariates_within=("y2",)).nrows == len(frame) - 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), missing=st.sampled_from(["listwise", "ml"]), share=st.floats(0, 0.3))
def test_row_order_changes_only_the_order(seed, missing, share):
    rng = np.random.default_rng(seed)
    frame = simulate(seed=seed)
    for name in ("y1", "y2", "x"):
        frame.loc[rng.random(len(frame)) < share, name] = np.nan
    frame.loc[rng.random(len(frame)) < share / 2, "school"] = None
    try:
        a = run(frame, missing=missing, group="country")
    except DataError:  # too little is left of a group
        reject()
    b = run(frame.sample(frac=1, random_state=seed % 1000), missing=missing, group="country")
    assert dict(a.rows_dropped) == dict(b.rows_dropped)
    assert a.clusters_dropped == b.clusters_dropped
    assert sorted(a.row_index) == sorted(b.row_index)
    place = b.row_index.get_indexer(a.row_index)
    np.testing.assert_array_equal(a.values, b.values[place])
    np.testing.assert_array_equal(a.cluster_ids[a.cluster], b.cluster_ids[b.cluster][place])
    labels = [np.array(d.group_labels)[d.group[d.cluster]] for d in (a, b)]
    np.testing.assert_array_equal(labels[0], labels[1][place])
    for d in (a, b):
        codes = d.cluster
        assert codes[0] == 0
        assert (codes[1:] <= np.maximum.accumulate(codes)[:-1] + 1).all()  # in order of first appearance
        assert codes.max() == d.nclusters - 1


def test_speed_does_not_depend_on_loops_over_clusters():
    """A tenth of a second for a million rows where this was measured; ten times that for slow and busy machines."""
    rng = np.random.default_rng(0)
    rows, clusters = 200_000, 20_000
    code = rng.integers(0, clusters, rows)
    frame = pd.DataFrame(rng.normal(size=(rows, 10)), columns=[f"y{i}" for i in range(10)])
    frame["w"] = rng.normal(size=clusters)[code]
    frame["c"] = code
    names = tuple(f"y{i}" for i in range(10))
    start = time.perf_counter()
    prepare(frame, cluster="c", within=names, between=(*names[:5], "w"))
    assert time.perf_counter() - start < 1.0
