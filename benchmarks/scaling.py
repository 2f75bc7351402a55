"""How the time of a warm fit grows: `python benchmarks/scaling.py [--only TEXT] [--repeats N] [--draw]`.

From the data frame to estimates and standard errors (`h1=False, baseline=False`), in rows, clusters, variables, free parameters,
distinct cluster sizes and missing-value patterns, one at a time. Exponents are slopes of the log of processor seconds (the best of
several calls: the clock counts what other processes do) over the upper half of each range (in logarithms). Writes
results/scaling.json and docs/pictures/scaling.svg; --draw draws what the file holds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from cases import factor_model, two_level

HERE = Path(__file__).resolve().parent
RESULTS, PICTURE = HERE / "results" / "scaling.json", HERE.parent / "docs" / "pictures" / "scaling.svg"
Job = tuple[int, str, pd.DataFrame, dict]


def rows() -> Iterator[Job]:
    for size in (4, 16, 64, 256, 1024, 2048):
        yield 500 * size, factor_model(6, 2), two_level(1, np.full(500, size), 6, 2), {}


def clusters() -> Iterator[Job]:
    for count in (100, 400, 1_600, 6_400, 25_600, 102_400):
        yield count, factor_model(6, 2), two_level(2, np.full(count, 10), 6, 2), {}


def variables() -> Iterator[Job]:
    for p in (6, 12, 16, 24, 32):
        yield p, factor_model(p, 2), two_level(3, np.full(400, 10), p, 2), {}


def parameters() -> Iterator[Job]:
    """12 variables with ever more free covariances at both levels: 36 parameters where none is, 168 where all are."""
    p, data = 12, two_level(4, np.full(400, 10), 12, 12)
    for band in (0, 1, 3, 5, 8, 11):
        lines = [
            f"  y{i + 1} ~~ " + " + ".join(f"y{j + 1}" for j in range(i, min(i + band, p - 1) + 1)) for i in range(p)
        ]
        free = p + 2 * sum(min(band, p - 1 - i) + 1 for i in range(p))
        rest = [
            f"  y{i + 1} ~~ " + " + ".join(f"0*y{j + 1}" for j in range(i + band + 1, p)) for i in range(p - band - 1)
        ]
        block = "\n".join(lines + rest)
        yield free, f"level: 1\n{block}\nlevel: 2\n{block}\n", data, {}


def sizes() -> Iterator[Job]:
    """12,288 rows in 256 clusters of 48 on average."""
    for count in (1, 2, 4, 8, 16, 32, 64):
        spread = np.linspace(-40, 40, count).round() if count > 1 else np.zeros(1)
        yield count, factor_model(6, 2), two_level(5, np.repeat(48 + spread, 256 // count).astype(int), 6, 2), {}


def patterns() -> Iterator[Job]:
    """8 variables, 300 clusters of 20 rows: which values are missing goes by one of so many patterns."""
    rng, data = np.random.default_rng(6), two_level(6, np.full(300, 20), 8, 2)
    masks = np.array([[code >> bit & 1 for bit in range(8)] for code in range(255)], bool)
    masks = masks[np.argsort(masks.sum(1), kind="stable")]
    names = [f"y{i + 1}" for i in range(8)]
    for count in (4, 16, 64, 219):
        chosen = masks[:count][rng.integers(0, count, len(data))]
        yield count, factor_model(8, 2), data.assign(**data[names].mask(chosen)), {"missing": "ml"}


DIMENSIONS = {
    "rows": rows,
    "clusters": clusters,
    "variables": variables,
    "parameters": parameters,
    "distinct sizes": sizes,
    "patterns": patterns,
}
ABOUT = {
    "rows": "rows, in 500 clusters",
    "clusters": "clusters of 10 rows",
    "variables": "variables",
    "parameters": "free parameters",
    "distinct sizes": "distinct cluster sizes, same N",
    "patterns": "missing-value patterns",
}


def measure(job: Job, repeats: int) -> dict[str, float]:
    """Seconds of the call after one that compiles: of processors (the best, which others disturb least), and of the clock."""
    import mlsem_jax as ml

    at, model, data, options = job
    times, own = [], []
    for _ in range(repeats + 1):
        start, used = time.perf_counter(), time.process_time()
        fit = ml.sem(model, data, cluster="g", h1=False, baseline=False, **options)
        times.append(time.perf_counter() - start)
        own.append(time.process_time() - used)
    return {
        "at": at,
        "seconds": min(own[1:]),
        "clock, best": min(times[1:]),
        "clock, median": statistics.median(times[1:]),
        "first call": times[0],
        "iterations": fit.iterations,
        "parameters": fit.npar,
        "converged": bool(fit.converged),
    }


def exponent(points: list[dict]) -> tuple[float, float]:
    """Slope and level of log time over the upper half of the range."""
    x, t = np.log([p["at"] for p in points]), np.log([p["seconds"] for p in points])
    upper = x >= (x[0] + x[-1]) / 2 - 1e-9
    slope, level = np.polyfit(x[upper], t[upper], 1)
    return float(slope), float(level)


def draw(result: dict) -> None:
    """One panel a dimension, logarithmic axes, with the fitted line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    blue, ink, grey = "#1f5fa8", "#222222", "#8a8a8a"
    with plt.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "path", "font.size": 9}):
        figure, axes = plt.subplots(2, 3, figsize=(9.5, 5.4), sharey=True, layout="constrained")
        for ax in axes.flat[len(result["dimensions"]) :]:
            ax.set_visible(False)
        for ax, (name, found) in zip(axes.flat, result["dimensions"].items(), strict=False):
            x, t = [p["at"] for p in found["points"]], [1000 * p["seconds"] for p in found["points"]]
            slope, level = exponent(found["points"])
            upper = np.array([np.sqrt(x[0] * x[-1]), x[-1]])
            ax.plot(upper, 1000 * np.exp(level) * upper**slope, color=grey, linewidth=5, alpha=0.45, zorder=1)
            ax.plot(x, t, "o-", color=blue, markersize=4.5, linewidth=1.2)
            ax.set(xscale="log", yscale="log", xlabel=ABOUT[name])
            ax.set_title(
                f"{name}: exponent {slope:.2f}".replace("-", "\N{MINUS SIGN}"), color=ink, fontsize=10, loc="left"
            )
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
            ax.yaxis.set_major_formatter(
                FuncFormatter(lambda v, _: f"{v:,.0f} ms" if v < 1000 else f"{v / 1000:,.0f} s")
            )
            if x[-1] / x[0] < 20:
                ax.set_xticks(x[:: 1 if len(x) < 6 else 2])
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.grid(alpha=0.25, which="major")
            ax.spines[["top", "right"]].set_visible(False)
        figure.supylabel("processor time of a warm fit", fontsize=9)
        figure.savefig(PICTURE, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    """Measure, fit exponents, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="dimensions whose name holds this text; the others stay as they are")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--draw", action="store_true", help="only draw the picture of the stored results")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"dimensions": {}}
    if not options.draw:
        result |= {
            "date": datetime.date.today().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "load": os.getloadavg()[0],
        }
        for name, jobs in DIMENSIONS.items():
            if options.only in name:
                points = []
                for job in jobs():
                    points.append(measure(job, options.repeats))
                    print(name, points[-1], flush=True)
                result["dimensions"][name] = {"exponent": exponent(points)[0], "points": points}
        result["dimensions"] = {name: result["dimensions"][name] for name in DIMENSIONS if name in result["dimensions"]}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for name, found in result["dimensions"].items():
        print(f"{name}: exponent {found['exponent']:.2f}")
    draw(result)


if __name__ == "__main__":
    main()
