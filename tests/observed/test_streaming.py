"""Statistics of data that come in chunks are those of one pass, for every kind of source; errors say which chunk."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tracemalloc
import warnings

import jax
import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.data import _memory, prepare
from mlsem_jax.estimation import make_statistics

pytestmark = pytest.mark.timeout(120)

MODEL = """
level: 1
  fw =~ y1 + y2 + y3
level: 2
  fb =~ y1 + y2 + y3
  fb ~ w
"""


def table(seed: int = 1, clusters: int = 60, rows: int = 900) -> pd.DataFrame:
    """Clusters of all sizes from 1, shuffled; y3 far from zero."""
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.arange(clusters), rng.integers(0, clusters, rows - clusters)])
    rng.shuffle(g)
    w = rng.normal(size=clusters)
    y = rng.normal(size=(rows, 1)) + (0.5 * w + rng.normal(size=clusters))[g, None] + rng.normal(size=(rows, 3))
    return pd.DataFrame(y + np.array([0, 5, 1e6]), columns=["y1", "y2", "y3"]).assign(w=w[g], g=g, unused="text")


DATA = table()


@pytest.fixture(scope="module")
def model():
    return ml.model(MODEL, DATA, cluster="g")


def parts(data: pd.DataFrame = DATA, size: int = 130) -> list[pd.DataFrame]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def agree(streamed, whole, rtol=1e-10, atol=0.0):
    """Leaf by leaf, relative to the largest element: off-diagonal elements of a matrix may be near zero."""
    pairs = zip(jax.tree.leaves(streamed.reduced), jax.tree.leaves(whole.reduced), strict=True)
    for got, want in pairs:
        assert got.shape == want.shape
        # y3 has mean 1e6 and variance 2: beyond its own scale only means are compared, by rtol
        assert np.abs(got - want).max() <= rtol * np.abs(want).max() + atol


def arrow(data=DATA):
    return pytest.importorskip("pyarrow").Table.from_pandas(data, preserve_index=False)


def parquet_files(folder):
    pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    for i, part in enumerate(parts()):
        part.to_parquet(folder / f"{i}.parquet", index=False)
    return dataset.dataset(folder)


SOURCES = {
    "list": lambda folder: parts(),
    "generator": lambda folder: (part for part in parts()),
    "one frame": lambda folder: [DATA],
    "dicts": lambda folder: [part.to_dict("series") for part in parts()],
    "polars": lambda folder: [pytest.importorskip("polars").from_pandas(part) for part in parts()],
    "arrow tables": lambda folder: [arrow(part) for part in parts()],
    "arrow batches": lambda folder: arrow().to_batches(max_chunksize=97),
    "arrow stream": lambda folder: arrow().to_reader(max_chunksize=97),
    "arrow dataset": lambda folder: pytest.importorskip("pyarrow.dataset").dataset(arrow()),
    "parquet files": parquet_files,
    "scanner": lambda folder: parquet_files(folder).scanner(columns=["w", "y3", "y1", "y2", "g"]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_statistics_of_one_pass(model, name, tmp_path):
    streamed = ml.statistics(model, SOURCES[name](tmp_path))
    agree(streamed, ml.statistics(model, DATA))
    assert "900 rows in 60 clusters" in repr(streamed)


@pytest.mark.parametrize("data", [DATA.to_dict("series"), DATA[["y1", "y2", "y3", "w", "g"]].to_records(index=False)])
def test_a_table_that_iterates_is_still_a_table(model, data):
    agree(ml.statistics(model, data), ml.statistics(model, DATA), 0)


def test_the_estimate_is_that_of_one_pass(model):
    with jax.enable_x64(True):
        got, want = ml.estimate(model, ml.statistics(model, parts())), ml.estimate(model, ml.statistics(model, DATA))
    # two searches that end within 1e-8 standard errors of the maximum
    assert np.abs((got.theta - want.theta) / want.se).max() < 1e-7


def test_partitions_add_up_in_any_order_and_travel_by_pickle(model):
    """Single rows are no data set to fit, but they add up to one: what is required of a whole is checked of the whole."""
    single = [ml.statistics(model, [DATA[i : i + 1]]) for i in range(20)]
    rest = [ml.statistics(model, [part]) for part in parts(DATA[20:], 300)]
    empty = [ml.statistics(model, [DATA[:0]]), ml.statistics(model, [])]
    every = [pickle.loads(pickle.dumps(one)) for one in [*empty, *single, *rest]]
    whole = ml.statistics(model, DATA)
    agree(sum(every), whole)
    agree(sum(every[::-1]), whole)
    agree(ml.statistics(model, DATA[:500]) + ml.statistics(model, parts(DATA[500:])), whole)


@pytest.mark.parametrize(
    "convert", [str, lambda g: 1e15 + g, lambda g: pd.Timestamp("2020-01-01") + pd.Timedelta(days=g)]
)
def test_ids_of_any_type(model, convert):
    data = DATA.assign(g=[convert(g) for g in DATA["g"]])
    agree(ml.statistics(model, parts(data)), ml.statistics(model, DATA))


def test_ids_that_a_missing_one_turned_to_floating_point(model):
    gone = DATA["g"].astype(float)
    gone[:100:7] = np.nan
    data = DATA.assign(g=gone)
    streamed = ml.statistics(model, [data[:130], DATA[130:].assign(g=DATA["g"][130:].astype(np.uint8))])
    agree(streamed, ml.statistics(model, data))
    assert streamed.rows_dropped == (("missing cluster id", 15),)
    assert "15 rows left out" in repr(streamed)


def test_groups():
    data = DATA.assign(country=np.where(DATA["g"] % 3 == 0, "B", "A"))
    model = ml.model(MODEL, data, cluster="g", group="country")
    agree(ml.statistics(model, parts(data)), ml.statistics(model, data))
    split = data.copy()
    split.loc[[5, 899], "g"] = 7
    split.loc[[5, 899], "w"] = DATA["w"][DATA["g"] == 7].iloc[0]
    split.loc[5, "country"] = "B"
    streamed = ml.statistics(model, parts(split))
    with pytest.raises(ml.DataError, match=r"'country' varies within 1 of 60 clusters of 'g' \(7\)"):
        _ = streamed.reduced


def test_incomplete_rows(model):
    data = DATA.mask((np.arange(900) % 9 == 0)[:, None] & (DATA.columns == "y2"))
    streamed = ml.statistics(model, parts(data))
    agree(streamed, ml.statistics(model, data))
    assert streamed.rows_dropped == (("missing values (listwise)", 100),)
    with pytest.raises(ml.DataError, match="with and without missing='ml'"):
        ml.statistics(ml.model(MODEL, DATA, cluster="g", missing="ml"), DATA) + streamed


def with_gaps(data: pd.DataFrame = DATA) -> pd.DataFrame:
    """Clusters without missing values among those with some; rows of which nothing of level 1 is left; a covariate of level 2 that
    a chunk may not know while another does, or nobody.
    """
    rng, out = np.random.default_rng(5), data.copy()
    out["y3"] -= 1e6
    for name, share in (("y1", 0.1), ("y2", 0.3), ("y3", 0.1)):
        out.loc[(rng.random(len(out)) < share) & (out["g"] % 3 > 0), name] = np.nan
    out.loc[rng.random(len(out)) < 0.5, "w"] = np.nan
    out.loc[out["g"].isin([5, 6]), "w"] = np.nan
    out.loc[10:12, ["y1", "y2", "y3"]] = np.nan
    return out


GAPS = with_gaps()
SLOPES = """
level: 1
  y1 ~ rv("s")*x
  y2 + y3 ~ y1
level: 2
  s + y1 ~ w
  y2 ~~ y2
  y3 ~~ y3
"""
SLOPED = with_gaps().assign(x=np.random.default_rng(6).normal(2, 1, 900), w=DATA["w"])
KINDS = {
    "missing": (MODEL, GAPS, {"missing": "ml"}),
    "missing, covariates modelled": (MODEL, GAPS, {"missing": "fiml", "fixed_x": False}),
    "missing allowed, none there": (MODEL, DATA.assign(y3=DATA["y3"] - 1e6), {"missing": "ml"}),
    "missing in every cluster": (MODEL, GAPS.assign(y1=GAPS["y1"].mask(np.arange(900) % 4 == 0)), {"missing": "ml"}),
    "groups": (MODEL, GAPS.assign(c=np.where(GAPS["g"] % 4 == 0, "B", "A")), {"missing": "ml", "group": "c"}),
    "slopes": (SLOPES, SLOPED.fillna(0.3), {}),
    "slopes, rows left out": (SLOPES, SLOPED, {}),
    "slopes and missing": (SLOPES, SLOPED.assign(x=SLOPED["x"].mask(np.arange(900) % 40 == 0)), {"missing": "ml"}),
}


def quiet(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def of_one_pass(model, data):
    """The statistics that `ml.sem` makes of a table, which take another way."""
    labels, source = model.labels, model.labels.source
    within, between = labels.specification.within, labels.specification.between
    prepared = prepare(
        data,
        cluster=source.cluster,
        group=source.group,
        within=within.observed,
        between=between.observed,
        covariates_within=within.covariates,
        covariates_between=between.covariates,
        missing=source.missing,
    )
    return make_statistics(labels.specification, prepared).statistics


def test_a_large_chunk_goes_in_blocks(monkeypatch):
    model = quiet(ml.model, MODEL, GAPS, cluster="g", missing="ml")
    whole = ml.statistics(model, GAPS)
    monkeypatch.setattr("mlsem_jax.functional._collected.BLOCK", 50)
    streamed = ml.statistics(model, parts(GAPS, 400))
    agree(streamed, whole, atol=1e-11)
    assert repr(streamed) == repr(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_and_random_slopes_stream_like_complete_data(kind):
    """Chunks, sums in any order and one pass have the same arrays, and the likelihood that a fit of the table has."""
    text, data, options = KINDS[kind]
    model = quiet(ml.model, text, data, cluster="g", **options)
    whole = ml.statistics(model, data)
    for streamed in (
        ml.statistics(model, parts(data)),
        ml.statistics(model, data[:500]) + ml.statistics(model, parts(data[500:], 77)),
        sum(pickle.loads(pickle.dumps(ml.statistics(model, [part]))) for part in parts(data, 211)),
    ):
        agree(streamed, whole, atol=1e-11)  # sums about the mean are rounding where all rows have one pattern
        assert repr(streamed) == repr(whole)
        assert sorted(streamed.rows_dropped) == sorted(whole.rows_dropped)
    backwards = sum(ml.statistics(model, [part]) for part in parts(data)[::-1])  # clusters in another order
    with jax.enable_x64(True):
        value = float(ml.log_likelihood(model, model.start, whole))
        assert float(ml.log_likelihood(model, model.start, backwards)) == pytest.approx(value, rel=1e-12)
        reduction = of_one_pass(model, data)
        assert float(ml.log_likelihood(model, model.start, reduction)) == pytest.approx(value, rel=1e-12)


def changed(number: int, change) -> list[pd.DataFrame]:
    chunks = parts()
    chunks[number - 1] = change(chunks[number - 1])
    return chunks


BAD = {
    "Chunk 3 of the data: The table has no column 'y2', 'w'": (3, lambda d: d.drop(columns=["y2", "w"])),
    "Chunk 2 of the data: Variable 'y1' at levels 1 and 2 holds text, such as 'x'": (2, lambda d: d.assign(y1="x")),
    "Chunk 4 of the data: Variable 'w' at level 2 holds numbers stored as text": (
        4,
        lambda d: d.assign(w=d["w"].astype(str)),
    ),
    "Chunk 5 of the data: The cluster ids in 'g' are text here and numbers before": (
        5,
        lambda d: d.assign(g=d["g"].astype(str)),
    ),
    "Chunk 1 of the data: Variable 'y3' at levels 1 and 2 holds infinite": (1, lambda d: d.assign(y3=np.inf)),
    "Chunk 2 of the data: Variable 'w' at level 2 varies within": (2, lambda d: d.assign(w=np.arange(len(d)))),
    "Variable 'w' at level 2 has different values in two parts": (7, lambda d: d.assign(w=d["w"] + 1e-6)),
    "Chunk 6 of the data: data must be a table": (6, lambda d: "part6.parquet"),
}


@pytest.mark.parametrize("message", BAD)
def test_errors_name_the_chunk(model, message):
    with pytest.raises(ml.DataError) as error:
        ml.statistics(model, changed(*BAD[message]))
    assert message in str(error.value)


def test_a_file_that_lacks_a_column_is_named(model, tmp_path):
    """Arrow itself would read missing values."""
    parquet_files(tmp_path)
    parts()[2].drop(columns="y2").to_parquet(tmp_path / "2.parquet", index=False)
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path)
    with pytest.raises(ml.DataError, match=r"2\.parquet' of the Arrow dataset has no column 'y2'"):
        ml.statistics(model, dataset)


def test_a_column_that_the_folders_name(model, tmp_path):
    """A hive-partitioned dataset has the cluster ids in its folders."""
    pytest.importorskip("pyarrow")
    DATA.to_parquet(tmp_path, partition_cols=["g"], index=False)
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path, partitioning="hive")
    agree(ml.statistics(model, dataset), ml.statistics(model, DATA))


WHOLE = {
    "hold no complete row": lambda: [DATA[:0]],
    "'g' has a single value": lambda: [DATA[DATA["g"] == 3]],
    "'g' has a single row": lambda: parts(DATA.drop_duplicates("g"), 10),
    "'y2' at levels 1 and 2 does not vary within": lambda: parts(DATA.assign(y2=DATA["g"] + 0.1)),
    "'w' at level 2 is constant": lambda: parts(DATA.assign(w=1.5)),
}


@pytest.mark.parametrize("message", WHOLE)
def test_what_only_the_whole_can_satisfy_is_told_when_it_is_used(model, message):
    streamed = ml.statistics(model, WHOLE[message]())
    with pytest.raises(ml.DataError, match=message):
        ml.estimate(model, streamed)


GONE = {
    "hold no row to use": lambda: [GAPS[:0]],
    "value of all fixed covariates of level 2 \\('w'\\)": lambda: parts(GAPS.assign(w=np.nan)),
    "'y1' at levels 1 and 2 has no observed value": lambda: parts(GAPS.assign(y1=np.nan)),
    "'y1' at levels 1 and 2 does not vary within": lambda: parts(GAPS.assign(y1=GAPS["g"] * 1.0)),
    "'w' at level 2 has different values in two parts": lambda: [GAPS, GAPS.assign(w=GAPS["w"] + 1)],
    "'y1' at levels 1 and 2 holds infinite": lambda: [GAPS.assign(y1=np.inf)],
}


@pytest.mark.parametrize("message", GONE)
def test_what_is_wrong_with_chunks_that_have_missing_values(message):
    model = quiet(ml.model, MODEL, GAPS, cluster="g", missing="ml")
    with pytest.raises(ml.DataError, match=message):
        _ = ml.statistics(model, GONE[message]()).reduced


def test_text_is_no_iterable_of_tables(model):
    with pytest.raises(ml.DataError, match="not text; read the file first"):
        ml.statistics(model, "data.csv")


def test_statistics_of_other_variables_do_not_add(model):
    other = ml.model(MODEL.replace("fb ~ w", ""), DATA, cluster="g")
    with pytest.raises(ml.DataError, match="different variables"):
        ml.statistics(model, DATA) + ml.statistics(other, DATA)


@pytest.mark.parametrize(("missing", "limit"), [("listwise", 8e6), ("ml", 16e6)])
def test_memory_is_that_of_a_chunk(missing, limit):
    """40 chunks of 20,000 rows are 26 MB of numbers; one chunk, with its table and a few copies, is about 4. With missing values
    there are more copies of it, and eight sums a cluster.
    """
    model = ml.model(MODEL, DATA, cluster="g", missing=missing)
    rng = np.random.default_rng(3)
    w = rng.normal(size=500)

    def chunk():
        g = rng.integers(0, 500, 20_000)
        y = rng.normal(size=(20_000, 3))
        if missing == "ml":
            y[rng.random(y.shape) < 0.1] = np.nan
        return pd.DataFrame(y, columns=["y1", "y2", "y3"]).assign(w=w[g], g=g)

    ml.statistics(model, [chunk()])
    tracemalloc.start()
    streamed = ml.statistics(model, (chunk() for _ in range(40)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rows = "800000" if missing == "listwise" else "799"
    assert re.search(rf"statistics of {rows}\d* rows in 500 clusters", repr(streamed))
    assert peak < limit


@pytest.mark.parametrize("group", [None, "kind"])
def test_one_level_with_missing_values_comes_in_chunks(group):
    rng = np.random.default_rng(5)
    data = DATA.assign(kind=np.where(np.arange(len(DATA)) % 3, "a", "b"))
    for name in ("y1", "y2"):
        data.loc[rng.random(len(data)) < 0.15, name] = np.nan
    data.loc[[3, 500], ["y1", "y2", "y3"]] = np.nan
    model = ml.model("f =~ y1 + y2 + y3", data, missing="ml", group=group)
    whole, streamed = ml.statistics(model, data), ml.statistics(model, parts(data))
    assert streamed.rows_dropped == whole.rows_dropped == (("no value of any variable", 2),)
    assert repr(streamed) == repr(whole)
    added = ml.statistics(model, data[:77]) + ml.statistics(model, data[77:])
    with jax.enable_x64(True):
        values = [float(ml.log_likelihood(model, model.start, s)) for s in (whole, streamed, added)]
        assert np.allclose(values, values[0], rtol=1e-12)
    kinds = [[type(term) for term in s.reduced.terms] for s in (whole, streamed, added)]
    assert kinds[0] == kinds[1] == kinds[2]
    for wrong, text in ((np.nan, "'y1' has no observed value"), (2.0, "'y1' is constant")):
        with pytest.raises(ml.DataError, match=text):
            repr(ml.statistics(model, parts(data.assign(y1=wrong))).reduced)


LEFT_BEHIND = """
import os
from mlsem_jax.data import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

pieces = [bytearray(2000) for _ in range(50_000)]
last = bytearray(2000)  # at the end of the heap, so that the C library keeps what is before it
del pieces
before = resident()
give_back()
assert resident() < before - 60, (before, resident())
"""


@pytest.mark.skipif(sys.platform != "linux" or _memory._trim() is None, reason="needs the GNU C library")
def test_memory_of_small_arrays_goes_back_to_the_system():
    subprocess.run([sys.executable, "-c", LEFT_BEHIND], check=True, timeout=60)


def test_what_arrow_keeps_of_chunks_is_given_back(model, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    pool, asked = arrow.default_memory_pool(), []

    class Pool:
        def release_unused(self):
            asked.append(pool.bytes_allocated())

    monkeypatch.setattr(arrow, "default_memory_pool", Pool)
    ml.statistics(model, (DATA[i::2] for i in range(2)))
    assert len(asked) == 1


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_without_the_gnu_library_and_arrow_nothing_is_given_back(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    _memory._trim.cache_clear()
    _memory.give_back()
    assert _memory._trim() is None
    _memory._trim.cache_clear()
