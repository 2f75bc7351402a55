# %% [markdown]
# # A published simulation, run again
#
# "To Be Long or To Be Wide" (Structural Equation Modeling, 2024, doi 10.1080/10705511.2024.2320050) fits a saturated two-level
# model to 1000 data sets in each of 240 designs: p variables with intraclass correlation ICC, g clusters of n rows. This script
# repeats its two-level arm, every design of the chosen p as one batch, and holds bias, error, coverage and the share of negative
# variances against the published figures and against the exact ones (for balanced data the maximum is known in closed form, so
# the study can be done without an optimiser).
#
#     python examples/long_or_wide.py [--p 2 5] [--replications 1000] [--reference FOLDER] [--csv FILE]
#
# `FOLDER` holds `cells.csv` and `closed_form.csv` (default: lf_wf_sem in $MLSEM_REFERENCE/published, or beside the checkout).

# %%
from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mlsem_jax as ml
from mlsem_jax.estimation import Estimate

CORRELATION = 0.3
# columns of the comparison: ours -> closed_form.csv, cells.csv
MEASURES = {
    "relbias_var_B": "relbias_variance_between",
    "relbias_cov_B": "relbias_covariance_between",
    "relbias_var_W": "relbias_variance_within",
    "relbias_cov_W": "relbias_covariance_within",
    "coverage_B": "coverage_between_pct",
    "coverage_W": "coverage_within_pct",
    "negvar_B": "negvar_between_pct",
}


# %% [markdown]
# ## The model and the population
# All variances and covariances are free at both levels; the means are at level 2.


# %%
def saturated(p: int, rows_per_cluster: int = 4, clusters: int = 60):
    """The saturated two-level model of p variables, in the JAX layer."""
    names = [f"x{i + 1}" for i in range(p)]
    pairs = "\n".join(f"  {a} ~~ {b}" for i, a in enumerate(names) for b in names[i:])
    random = np.random.default_rng(0)
    cluster = np.repeat(np.arange(clusters), rows_per_cluster)
    values = random.standard_normal((clusters, p))[cluster] + random.standard_normal((len(cluster), p))
    frame = pd.DataFrame(values, columns=names).assign(group=cluster)
    return ml.model(f"level: 1\n{pairs}\nlevel: 2\n{pairs}\n", frame, cluster="group")


def parameter_kinds(names: tuple[str, ...]) -> pd.DataFrame:
    """Of each parameter: its level (W, B) and whether it is a variance, a covariance or a mean."""
    rows = []
    for name in names:
        text, level = (name.removesuffix(".l2"), "B") if name.endswith(".l2") else (name, "W")
        left, sign, right = text.partition("~~")
        rows.append((level, "mean" if not sign else "var" if left == right else "cov"))
    return pd.DataFrame(rows, columns=["level", "kind"])


def population(kinds: pd.DataFrame, icc: float) -> np.ndarray:
    """True parameters: total variances 1, all correlations .3 at both levels, means 0."""
    size = kinds["level"].map({"W": 1 - icc, "B": icc})
    return (size * kinds["kind"].map({"var": 1.0, "cov": CORRELATION, "mean": 0.0})).to_numpy()


# %% [markdown]
# ## One design
# Simulate, estimate all data sets in one call, summarise.


# %%
def run_cell(model, kinds: pd.DataFrame, cell: pd.Series, replications: int, key: int) -> dict[str, float]:
    """The published measures of one design from `replications` data sets."""
    truth = population(kinds, cell.icc)
    stats = ml.simulate(model, truth, key, np.full(int(cell.n_clusters), int(cell.cluster_size)), replications)
    started = time.perf_counter()
    end = ml.estimate_batch(model, stats)
    seconds = time.perf_counter() - started
    return summarise(end, kinds, truth) | {"seconds": seconds}


def summarise(end: Estimate, kinds: pd.DataFrame, truth: np.ndarray) -> dict[str, float]:
    converged = np.isin(end.status, [code for code in ml.Status if code.converged])
    theta, se = end.theta[converged][:, : len(truth)], end.se[converged][:, : len(truth)]
    inside = np.abs(theta - truth) <= 1.959963984540054 * se
    out: dict[str, float] = {"convergence_pct": 100 * converged.mean()}
    for level in "WB":
        here = (kinds["level"] == level).to_numpy()
        for kind in ("var", "cov"):
            at = here & (kinds["kind"] == kind).to_numpy()
            error = theta[:, at] - truth[at]
            out[f"relbias_{kind}_{level}"] = 100 * error.mean() / truth[at][0]
            out[f"relrmse_{kind}_{level}"] = 100 * np.sqrt((error**2).mean(axis=0)).mean() / truth[at][0]
        moments = here & (kinds["kind"] != "mean").to_numpy()
        out[f"coverage_{level}"] = 100 * inside[:, moments].mean()
        variances = here & (kinds["kind"] == "var").to_numpy()
        out[f"negvar_{level}"] = 100 * (theta[:, variances] < 0).any(axis=1).mean()
    return out


# %% [markdown]
# ## All designs, and the comparison
# A difference is divided by its Monte-Carlo standard error: of our run against the exact figures, of both runs against the
# published ones. If all is right, these z-values have mean 0 and standard deviation 1.


# %%
def compare(ours: pd.DataFrame, exact: pd.DataFrame, published: pd.DataFrame, replications: int) -> pd.DataFrame:
    """One row per design and measure with both z-values; published cells of incomplete convergence are left out there."""
    rows = []
    for condition, own in ours.iterrows():
        for measure, column in MEASURES.items():
            error = max(exact.loc[condition, f"mcse1000_{measure}"], 1e-9) * np.sqrt(1000 / replications)
            # closed_form.csv rests on 20000 draws itself
            z_exact = (own[measure] - exact.loc[condition, measure]) / np.hypot(
                error, error * np.sqrt(replications / 20000)
            )
            both = np.hypot(error, error * np.sqrt(replications / 1000))
            full = published.loc[condition, "convergence_pct"] == 100
            z_published = (own[measure] - published.loc[condition, column]) / both if full else np.nan
            rows.append((condition, measure, own[measure], exact.loc[condition, measure], z_exact, z_published))
    return pd.DataFrame(rows, columns=["condition", "measure", "ours", "exact", "z_exact", "z_published"])


def refused(cell: pd.Series) -> str:
    """What a fit says of a design with as many variables as clusters, where the likelihood has no maximum."""
    names = [f"x{i + 1}" for i in range(int(cell.p))]
    pairs = "\n".join(f"  {a} ~~ {b}" for i, a in enumerate(names) for b in names[i:])
    random = np.random.default_rng(1)
    cluster = np.repeat(np.arange(int(cell.n_clusters)), int(cell.cluster_size))
    frame = pd.DataFrame(random.standard_normal((len(cluster), len(names))), columns=names).assign(group=cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.sem(f"level: 1\n{pairs}\nlevel: 2\n{pairs}\n", frame, cluster="group")
    return f"{fit.status} {' '.join(fit.estimation.notes)}"


def reference_folder() -> Path:
    root = os.environ.get("MLSEM_REFERENCE")
    root = Path(root) if root else Path(__file__).resolve().parents[2] / "shared" / "reference"
    return root / "published" / "lf_wf_sem"


def main(arguments: list[str] | None = None) -> pd.DataFrame | None:
    parser = argparse.ArgumentParser(description="Run a published two-level simulation again.")
    parser.add_argument("--p", type=int, nargs="+", default=[2, 5], help="numbers of variables (default 2 5)")
    parser.add_argument("--cells", type=int, default=0, help="at most so many designs for each p (default all)")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--reference", type=Path, default=reference_folder())
    parser.add_argument("--csv", type=Path, help="write the table of z-values here")
    given = parser.parse_args(arguments)
    if not (given.reference / "cells.csv").exists():
        print(f"The published figures are not at {given.reference}: nothing to compare with. See --reference.")
        return None
    published = pd.read_csv(given.reference / "cells.csv").set_index("condition")
    exact = pd.read_csv(given.reference / "closed_form.csv").set_index("condition")
    found, started = {}, time.perf_counter()
    for p in given.p:
        model = saturated(p)
        kinds = parameter_kinds(tuple(model.names))
        designs = published[(published["p"] == p) & (published["n_clusters"] > p)]
        for condition, cell in designs.iloc[: given.cells or None].iterrows():
            found[condition] = run_cell(model, kinds, cell, given.replications, key=int(condition))
            print(f"\r{len(found)} designs done", end="", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    ours = pd.DataFrame.from_dict(found, orient="index")
    table = compare(ours, exact, published, given.replications)
    show(ours, table, published, given.replications, seconds)
    if given.csv:
        table.to_csv(given.csv, index=False)
    few = published[(published["p"] >= published["n_clusters"]) & published["p"].isin(given.p)]
    if len(few):
        cell = few.iloc[0]
        print(f"\n{int(cell.p)} variables in {int(cell.n_clusters)} clusters: {refused(cell)}")
    return table


def show(ours: pd.DataFrame, table: pd.DataFrame, published: pd.DataFrame, replications: int, seconds: float) -> None:
    """The agreement in a few numbers."""
    print(f"\n{len(ours)} designs x {replications} data sets; converged: {ours['convergence_pct'].mean():.2f} % of all")
    with np.errstate(invalid="ignore"):
        summary = table.groupby("measure").agg(
            mean_z_exact=("z_exact", "mean"),
            sd_z_exact=("z_exact", "std"),
            largest_z_exact=("z_exact", lambda z: np.abs(z).max()),
            sd_z_published=("z_published", "std"),
            largest_z_published=("z_published", lambda z: np.abs(z).max()),
        )
    print(summary.round(2).to_string())
    theirs = float((published.loc[ours.index, "seconds_mean"] * replications).sum())
    print(
        f"seconds: {seconds:.0f} in all ({ours['seconds'].sum():.0f} of them estimation, compilation included); as published "
        f"{theirs:.0f} for as many fits by lavaan on a machine that is not described"
    )


# %%
if __name__ == "__main__":
    main()
