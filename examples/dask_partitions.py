# %% [markdown]
# # Statistics of a distributed table
#
# The likelihood needs sufficient statistics, and statistics add up, also where a cluster has rows in several partitions. So a table
# that lies in a hundred files, or on ten machines, is reduced where it lies: only one mean a cluster travels. Here Dask does it
# with its own scheduler; Spark's `mapPartitions` and `reduce` take the same two functions.

# %%
from __future__ import annotations

import tempfile
from pathlib import Path

import dask
import dask.dataframe as dd
import jax
import numpy as np
import pandas as pd

import mlsem_jax as ml

SYNTAX = """
level: 1
  fw =~ y1 + y2 + y3 + y4
  fw ~ x
level: 2
  fb =~ y1 + y2 + y3 + y4
  fb ~ w
"""


# %%
def write_files(folder: Path, files: int, rows: int, clusters: int) -> None:
    """Parquet files with rows of the same clusters in all of them."""
    rng = np.random.default_rng(1)
    w, effect = rng.normal(size=clusters), rng.normal(size=clusters)
    own = 0.4 * rng.normal(size=(clusters, 4))
    for i in range(files):
        g, x = rng.integers(0, clusters, rows), rng.normal(size=rows)
        factor = (0.5 * x + rng.normal(size=rows)) + (0.3 * w + 0.6 * effect)[g]
        y = factor[:, None] * [1.0, 0.9, 0.8, 1.1] + own[g] + rng.normal(size=(rows, 4))
        frame = pd.DataFrame(y, columns=["y1", "y2", "y3", "y4"]).assign(x=x, w=w[g], school=g)
        frame.to_parquet(folder / f"part{i:03}.parquet", index=False)


# %% [markdown]
# The model is made from the first rows: names, and what to start from. Each partition becomes statistics; a list of one says that
# it is part of a larger table, so that what only the whole can satisfy (enough clusters, variance at each level) is checked at the
# end. They are added in pairs, so that additions run in parallel too.


# %%
def statistics_of(table: dd.DataFrame, model):
    """One Dask task a partition, and a tree of additions."""
    parts = [dask.delayed(ml.statistics)(model, [part]) for part in table.to_delayed()]
    while len(parts) > 1:
        parts = [dask.delayed(sum)(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def main(files: int = 8, rows: int = 20_000, clusters: int = 2_000, scheduler: str = "threads"):
    """Estimates from the partitions, and from all rows at once."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name), files, rows, clusters)
        table = dd.read_parquet(name)
        model = ml.model(SYNTAX, table.head(2_000), cluster="school")
        stats = statistics_of(table, model).compute(scheduler=scheduler)
        whole = ml.statistics(model, table.compute())
    print(stats)
    with jax.enable_x64(True):
        together, at_once = ml.estimate(model, stats), ml.estimate(model, whole)
    shown = pd.DataFrame(
        {"partitions": together.theta, "all rows": at_once.theta, "se": together.se}, index=model.names, dtype=float
    )
    print(shown.round(4).to_string())
    return shown, stats, whole


# %%
if __name__ == "__main__":
    main()
