"""Ten million rows in ten files, streamed, merged and fitted: `python benchmarks/streaming.py [--check] [--rows N] [--json FILE]`.

Writes the files in a temporary folder (1 GB), then fits them in a fresh process that reports its peak memory and its times.
--check also reduces all rows at once, in another process that takes several gigabytes, and compares. --missing: the share of values
that are missing, a page of the questionnaire with three variables at a time; every value by itself with --scattered.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

P, FACTORS = 12, 2
HERE = Path(__file__).resolve().parent


def write_files(folder: Path, files: int, rows: int, clusters: int, missing: float, page: int) -> None:
    """Rows of every cluster may lie in every file. missing: share of values; page: how many variables are missing together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(8)
    which = np.arange(P) * FACTORS // P
    effect = (0.7 * rng.normal(size=(clusters, FACTORS)))[:, which] + 0.3 * rng.normal(size=(clusters, P))
    for i in range(files):
        g = rng.integers(0, clusters, rows)
        y = rng.normal(size=(rows, FACTORS))[:, which] + effect[g] + rng.normal(size=(rows, P))
        if missing:
            y[np.repeat(rng.random((rows, P // page)) < missing, page, axis=1)] = np.nan
        columns = {f"y{j + 1}": y[:, j] for j in range(P)} | {"g": g}
        pq.write_table(pa.table(columns), folder / f"part{i:02}.parquet")


def peak() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit(folder: Path, out: Path, source: str) -> dict[str, float]:
    """In this process: a model from the first rows, statistics of all files, the estimate.

    source: 'frames' (a file at a time), 'dataset' (Arrow's record batches) or 'at once' (all rows in memory, no estimate).
    """
    import jax
    import pandas as pd
    import pyarrow.dataset
    import pyarrow.parquet as pq
    from cases import factor_model

    import mlsem_jax as ml

    jax.config.update("jax_enable_x64", True)
    files, row = sorted(folder.glob("*.parquet")), {}
    head = next(pq.ParquetFile(files[0]).iter_batches(50_000)).to_pandas()
    treatment = "ml" if head.isna().any(axis=None) else "listwise"
    model = ml.model(factor_model(P, FACTORS), head.assign(g=head["g"] % 5_000), cluster="g", missing=treatment)
    row["peak MB before"] = peak()
    start = time.perf_counter()
    if source == "at once":
        stats = ml.statistics(model, pd.concat([pd.read_parquet(file) for file in files], ignore_index=True))
    elif source == "dataset":
        stats = ml.statistics(model, pyarrow.dataset.dataset(files))
    else:
        stats = ml.statistics(model, (pd.read_parquet(file) for file in files))
    reduced = stats.reduced
    row["read and reduce s"] = time.perf_counter() - start
    row["peak MB statistics"] = peak()
    with out.open("wb") as file:  # array by array, so that no copy of them counts as memory of the fit
        np.savez(file, *jax.tree.leaves(reduced))
    del reduced
    if source != "at once":
        start = time.perf_counter()
        end = ml.estimate(model, stats)
        row["estimate s, compilation included"] = time.perf_counter() - start
        row["converged"] = bool(ml.Status(int(end.status)).converged)
        row["peak MB"] = peak()
    return row


def apart(folder: Path, out: Path, source: str) -> dict[str, float]:
    """`fit` in a fresh process without a cache of compiled programs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    command = [sys.executable, __file__, "--fit", str(folder), str(out), source]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, env=env, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1]) | {"whole process s": time.perf_counter() - start}


def difference(a: Path, b: Path) -> float:
    """Largest difference of two sets of statistics, each array relative to its largest element or, for sums about a mean, to 1."""
    with np.load(a) as one, np.load(b) as other:
        pairs = [(one[name], other[name]) for name in one.files]
    return max(float(np.abs(x - y).max() / max(np.abs(y).max(), 1.0)) for x, y in pairs)


def main() -> None:
    """Write, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a file")
    parser.add_argument("--clusters", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--missing", type=float, default=0.0, help="share of values that are missing")
    parser.add_argument(
        "--scattered", action="store_true", help="every value is missing by itself, not by pages of three"
    )
    parser.add_argument("--check", action="store_true", help="compare with all rows at once (several GB of memory)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fit", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        folder, out, source = options.fit
        print(json.dumps(fit(Path(folder), Path(out), source)))
        return
    result: dict = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "files": options.files,
        "rows of a file": options.rows,
        "variables": P,
        "missing": options.missing,
        "missing together": 1 if options.scattered else 3,
        "runs": [],
    }
    for clusters in options.clusters:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "data"
            folder.mkdir()
            write_files(folder, options.files, options.rows, clusters, options.missing, 1 if options.scattered else 3)
            size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
            sources = ["frames", "dataset", *(["at once"] if options.check else [])]
            for source in sources:
                row = apart(folder, Path(name) / source, source)
                result["runs"].append({"clusters": clusters, "source": source, "files MB": size} | row)
                print(result["runs"][-1], flush=True)
            for source in sources[:2] if options.check else []:
                worst = difference(Path(name) / source, Path(name) / "at once")
                print(f"{source}: differs from one pass by {worst:.1e}")
                result.setdefault("difference from one pass", {})[f"{clusters} clusters, {source}"] = worst
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
