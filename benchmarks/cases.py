"""The jobs that the benchmark times: data, model and options, for both programs.

`tutorial` is lavaan's Demo.twolevel where the reference results are at hand (MLSEM_REFERENCE), otherwise simulated data of the
same shape. Everything else is simulated here with fixed seeds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

TUTORIAL = """level: 1
  fw =~ y1 + y2 + y3
  fw ~ x1 + x2 + x3
level: 2
  fb =~ y1 + y2 + y3
  fb ~ w1 + w2
"""


@dataclass(frozen=True)
class Case:
    """options go to `sem` of both programs (in Python's spelling); extra: what is asked of the fit besides its measures.

    repeats_r: repetitions of lavaan, few where one takes long.
    """

    name: str
    model: str
    data: pd.DataFrame
    cluster: str
    options: dict = field(default_factory=dict)
    extra: str = "measures"
    repeats_r: int = 5


def two_level(seed: int, sizes: np.ndarray, p: int, factors: int, within: int = 0, between: int = 0) -> pd.DataFrame:
    """Indicators y1..yp of simple structure, covariates x1.. (rows) and w1.. (clusters), cluster ids in `g`."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    x, w = rng.normal(size=(len(g), within)), rng.normal(size=(len(sizes), between))
    fw = rng.normal(size=(len(g), factors)) + 0.4 * x.sum(1, keepdims=True)
    fb = 0.7 * rng.normal(size=(len(sizes), factors)) + 0.2 * w.sum(1, keepdims=True)
    load = np.zeros((factors, p))
    load[np.arange(p) * factors // p, np.arange(p)] = rng.uniform(0.7, 1.2, p)
    y = fw @ load + rng.normal(size=(len(g), p)) + (fb @ load + 0.4 * rng.normal(size=(len(sizes), p)))[g]
    columns = {f"y{i + 1}": y[:, i] for i in range(p)} | {f"x{i + 1}": x[:, i] for i in range(within)}
    return pd.DataFrame(columns | {f"w{i + 1}": w[g, i] for i in range(between)} | {"g": g})


def tutorial_data() -> pd.DataFrame:
    """2500 rows in 200 clusters: three indicators, three and two covariates."""
    default = Path(__file__).resolve().parents[2] / "shared" / "reference"
    path = Path(os.environ.get("MLSEM_REFERENCE", default)) / "lavaan" / "demo-twolevel" / "data.csv"
    if path.exists():
        return pd.read_csv(path)[["y1", "y2", "y3", "x1", "x2", "x3", "w1", "w2", "cluster"]]
    return two_level(1, np.repeat([5, 10, 15, 20], 50), 3, 1, 3, 2).rename(columns={"g": "cluster"})


def with_missing(data: pd.DataFrame, share: float, columns: list[str]) -> pd.DataFrame:
    """Values of the columns missing completely at random."""
    rng, out = np.random.default_rng(2), data.copy()
    for column in columns:
        out.loc[rng.random(len(out)) < share, column] = np.nan
    return out


def factor_model(p: int, factors: int) -> str:
    """A simple-structure factor model, alike at both levels."""
    groups = [[f"y{i + 1}" for i in range(p) if i * factors // p == f] for f in range(factors)]
    block = {lv: "\n".join(f"  f{lv}{k} =~ {' + '.join(g)}" for k, g in enumerate(groups)) for lv in "wb"}
    return f"level: 1\n{block['w']}\nlevel: 2\n{block['b']}\n"


def saturated_model(p: int) -> str:
    """All variances and covariances at both levels."""
    lines = "\n".join(f"  y{i + 1} ~~ {' + '.join(f'y{j + 1}' for j in range(i, p))}" for i in range(p))
    return f"level: 1\n{lines}\nlevel: 2\n{lines}\n"


def cases() -> list[Case]:
    """All cases, the quick ones first."""
    rng = np.random.default_rng(3)
    demo = tutorial_data()
    missing = with_missing(demo, 0.15, ["y1", "y2", "y3"])
    big = two_level(4, rng.integers(5, 51, 300), 20, 4)
    spread = two_level(5, np.concatenate([np.arange(1, 101)] * 2), 6, 2)
    even = two_level(5, np.full(200, 50)[: len(spread) // 50], 6, 2)
    ml = {"missing": "ml"}
    return [
        Case("tutorial", TUTORIAL, demo, "cluster"),
        Case("tutorial, standardized too", TUTORIAL, demo, "cluster", extra="summary"),
        Case("tutorial, MLR", TUTORIAL, demo, "cluster", {"estimator": "MLR"}),
        Case("tutorial, modification indices", TUTORIAL, demo, "cluster", extra="modindices"),
        Case("20 indicators, 4+4 factors, 300 clusters", factor_model(20, 4), big, "g", repeats_r=2),
        Case("p = 20 saturated at both levels", saturated_model(20), big, "g", repeats_r=1),
        Case("one cluster size", factor_model(6, 2), even, "g", repeats_r=0),
        Case("100 cluster sizes, same N", factor_model(6, 2), spread, "g", repeats_r=0),
        Case("tutorial, 15 % missing", TUTORIAL, missing, "cluster", ml, repeats_r=1),
        Case("tutorial, 15 % missing, MLR", TUTORIAL, missing, "cluster", ml | {"estimator": "MLR"}, repeats_r=1),
    ]
