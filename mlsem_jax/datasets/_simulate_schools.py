"""Where schools.csv.gz comes from: `python -m mlsem_jax.datasets._simulate_schools` writes it again."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.datasets._population import SCHOOLS_POPULATION

if TYPE_CHECKING:
    import pandas as pd

SCHOOLS, SMALLEST, LARGEST, SEED = 100, 5, 40, 20240517
ITEMS = {"math": ("math1", "math2", "math3"), "reading": ("reading1", "reading2", "reading3")}


def simulate_schools(seed: int = SEED) -> pd.DataFrame:
    """One draw from SCHOOLS_POPULATION: 100 schools of 5 to 40 pupils."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    sizes = rng.integers(SMALLEST, LARGEST + 1, SCHOOLS)
    school = np.repeat(np.arange(SCHOOLS), sizes)
    pupils, between = _pupils(rng, school), _schools(rng)
    items = pupils.pop("items") + between.pop("items")[school]
    columns = {"school": _ids(rng)[school]}
    columns |= {name: np.round(items[:, i], 3) for i, name in enumerate(sum(ITEMS.values(), ()))}
    columns |= pupils | {name: values[school] for name, values in between.items()}
    return pd.DataFrame(columns)


def _ids(rng: np.random.Generator) -> np.ndarray:
    """Three-digit names in shuffled order."""
    return np.array([f"S{number:03d}" for number in rng.permutation(np.arange(1, SCHOOLS + 1))], dtype=object)


def _pupils(rng: np.random.Generator, school: np.ndarray) -> dict[str, np.ndarray]:
    """Level 1: covariates ses and girl, and each pupil's deviation on the items (N, 6)."""
    population, n = SCHOOLS_POPULATION["within"], len(school)
    # rounded before use, so that the population holds for the values in the file
    ses = np.round(rng.normal(0, population["sd"]["ses"], n), 2)
    girl = (rng.random(n) < population["mean"]["girl"]).astype(int)
    residuals = rng.standard_normal((n, 2)) @ np.linalg.cholesky(population["residual covariance"]).T
    items = []
    for f, (factor, names) in enumerate(ITEMS.items()):
        paths = population["regressions"][factor]
        eta = paths["ses"] * ses + paths["girl"] * girl + residuals[:, f]
        for name in names:
            noise = rng.normal(0, population["residual sd"][name], n)
            items.append(population["loadings"][factor][name] * eta + noise)
    return {"items": np.column_stack(items), "ses": ses, "girl": girl}


def _schools(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Level 2: covariates public and size, and each school's part of the items (100, 6), intercepts included."""
    population = SCHOOLS_POPULATION["between"]
    public = (rng.random(SCHOOLS) < population["mean"]["public"]).astype(int)
    size = np.round(rng.normal(population["mean"]["size"], population["sd"]["size"], SCHOOLS), 2)
    paths = population["regressions"]["achievement"]
    eta = (
        paths["public"] * public
        + paths["size"] * size
        + rng.normal(0, population["residual sd"]["achievement"], SCHOOLS)
    )
    items = []
    for name in sum(ITEMS.values(), ()):
        noise = rng.normal(0, population["residual sd"][name], SCHOOLS)
        items.append(population["intercepts"][name] + population["loadings"]["achievement"][name] * eta + noise)
    return {"items": np.column_stack(items), "public": public, "size": size}


def write(path: Path) -> None:
    """The data set as gzipped CSV, without the time of writing."""
    text = simulate_schools().to_csv(index=False, lineterminator="\n").encode()
    path.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))


if __name__ == "__main__":
    write(Path(__file__).with_name("schools.csv.gz"))
