"""Where lavaan's unrestricted model stops early: data sets for benchmarks/h1.R, and what is found here.

python benchmarks/h1.py FOLDER          (writes data_000.csv ... and ours.csv)
Rscript benchmarks/h1.R FOLDER          (writes lavaan.csv)
python benchmarks/h1.py FOLDER compare  (writes results/h1.json and docs/pictures/h1.svg)
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mlsem_jax as ml

MODEL = """
level: 1
  fw =~ y1 + y2 + y3 + y4 + y5 + y6
level: 2
  fb =~ y1 + y2 + y3 + y4 + y5 + y6
"""
HERE = Path(__file__).parent
DATASETS, CLUSTERS, ROWS = 300, 60, 8


def draw(number: int) -> pd.DataFrame:
    """One factor at each level, loadings 1, residual variances 1 within and 0.02 between, factor variances 1 and 0.15."""
    rng = np.random.default_rng(number)
    cluster = np.repeat(np.arange(CLUSTERS), ROWS)
    between = rng.normal(size=(CLUSTERS, 1)) * 0.15**0.5 + rng.normal(size=(CLUSTERS, 6)) * 0.02**0.5
    within = rng.normal(size=(len(cluster), 1)) + rng.normal(size=(len(cluster), 6))
    columns = [f"y{i}" for i in range(1, 7)]
    return pd.DataFrame((between[cluster] + within).round(6), columns=columns).assign(cluster=cluster)


def fitted(data: pd.DataFrame) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.sem(MODEL, data, cluster="cluster", baseline=False)
        measures = fit.fit_measures() if fit.converged else {}
    found = {name: measures.get(name, np.nan) for name in ("chisq", "pvalue", "logl", "unrestricted.logl")}
    return found | {"smallest": np.linalg.eigvalsh(fit.h1()["between"]["cov"])[0], "converged": fit.converged}


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(DATASETS):
        data = draw(number)
        data.to_csv(folder / f"data_{number:03}.csv", index=False)
        rows.append(fitted(data))
    pd.DataFrame(rows).to_csv(folder / "ours.csv", index=False)


def compare(folder: Path) -> None:
    names = ["number", "chisq", "pvalue", "logl", "unrestricted.logl", "converged"]
    theirs = pd.read_csv(folder / "lavaan.csv", header=None, names=names).set_index("number").sort_index()
    ours = pd.read_csv(folder / "ours.csv").loc[theirs.index]
    both = ours["converged"] & (theirs["converged"] == 1)
    ours, theirs = ours[both], theirs[both]
    gap = ours["unrestricted.logl"] - theirs["unrestricted.logl"]
    below = ours["logl"] - theirs["logl"]
    print(f"{len(ours)} of {len(both)} data sets converged in both; df 18")
    print(
        f"the model itself: lavaan's maximum lower by more than 0.001 in {(below > 1e-3).sum()}, by at most {below.max():.3g};",
        end=" ",
    )
    print(f"higher in {(below < -1e-3).sum()}, by at most {-below.min():.3g}")
    print(f"smallest eigenvalue of h1's Sigma_B below zero in {(ours['smallest'] < 0).mean():.0%}")
    print(f"h1 below the maximum by: median {gap.median():.3g}, 95 % {gap.quantile(0.95):.3g}, most {gap.max():.3g}")
    print(f"mean chi-square: here {ours['chisq'].mean():.2f}, lavaan {theirs['chisq'].mean():.2f}")
    for name, table in (("here", ours), ("lavaan", theirs)):
        share = (table["pvalue"] < 0.05).mean()
        print(f"rejected at 5 %, {name}: {share:.3f} ({(share * (1 - share) / len(table)) ** 0.5:.3f})")
    print(f"chi-square off by 10 or more in {(ours['chisq'] - theirs['chisq'] > 10).mean():.0%}")
    far = (ours["chisq"] - theirs["chisq"]).idxmax()
    print(f"furthest, data set {far}: {ours['chisq'][far]:.2f} (p {ours['pvalue'][far]:.3f}), lavaan", end=" ")
    print(f"{theirs['chisq'][far]:.2f} (p {theirs['pvalue'][far]:.3f})")
    keep(ours, theirs, len(both))


def keep(ours: pd.DataFrame, theirs: pd.DataFrame, total: int) -> None:
    """Chi-squares of all data sets, as numbers and as a picture."""
    pairs = [[number, round(ours["chisq"][number], 4), round(theirs["chisq"][number], 4)] for number in ours.index]
    about = {
        "datasets": total,
        "columns": ["data set", "chi-square here", "chi-square of lavaan 0.6-14"],
        "both": pairs,
    }
    (HERE / "results" / "h1.json").write_text(json.dumps(about) + "\n")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"svg.hashsalt": "h1", "svg.fonttype": "path", "font.size": 9}):
        figure, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
        top = float(ours["chisq"].max()) + 2
        ax.plot([0, top], [0, top], color="0.6", linewidth=1)
        ax.scatter(ours["chisq"], theirs["chisq"], s=10, alpha=0.6, linewidths=0, color="#0072B2")
        critical = 28.869  # of 18 degrees of freedom at 5 %
        for line in (ax.axvline, ax.axhline):
            line(critical, color="0.6", linewidth=1, linestyle="--")
        ax.set(
            xlabel="Chi-square here", ylabel="Chi-square of lavaan 0.6-14", xlim=(0, top), ylim=(0, top), aspect="equal"
        )
        figure.savefig(HERE.parent / "docs" / "pictures" / "h1.svg", metadata={"Date": None})


if __name__ == "__main__":
    (compare if "compare" in sys.argv else write)(Path(sys.argv[1]))
