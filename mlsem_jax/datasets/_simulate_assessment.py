"""Where assessment.csv.gz comes from: `python -m mlsem_jax.datasets._simulate_assessment` writes it again.

A population of 3,000 schools is drawn, from it a sample as large-scale assessments take theirs: schools in strata with
probabilities that grow with their size, pupils within schools with those of one language twice as likely as the others.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.datasets._population import ASSESSMENT_POPULATION as POPULATION

if TYPE_CHECKING:
    import pandas as pd

SCHOOLS, ZONES, PUPILS, REPLICATES, FAY, SEED = 3000, 75, 20, 80, 0.5, 20261129


def simulate_assessment(seed: int = SEED) -> pd.DataFrame:
    """One sample of 150 schools, two from each of 75 zones of neighbouring strata, and of about 20 pupils from each."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    size = np.round(np.exp(rng.normal(4.2, 0.5, SCHOOLS))).astype(int) + 25
    log_size = (np.log(size) - np.log(size).mean()) / np.log(size).std()
    between = _schools(rng, log_size)
    zone = np.argsort(np.argsort(rng.random(SCHOOLS))) % ZONES
    replicate = 1 + (1 - FAY) * hadamard80()[:, :ZONES]
    parts: list[pd.DataFrame] = []
    for h in range(ZONES):
        here = np.flatnonzero(zone == h)
        chance = 2 * size[here] / size[here].sum()
        chosen = _two_of(rng, chance)
        for k, j in enumerate(here[chosen]):
            sign = replicate[:, h] if k == 0 else 2 - replicate[:, h]
            v = 1 / chance[chosen[k]]
            rows = _pupils(rng, between, j, int(size[j]))
            rows |= {"school": f"S{len(parts) + 1:03d}", "zone": h + 1, "w_school": round(v, 5)}
            rows |= {f"r{i + 1}": round(v * s, 5) for i, s in enumerate(sign)}
            parts.append(pd.DataFrame(rows))
    out = pd.concat(parts, ignore_index=True)
    first = ["school", "zone", "w_pupil", "w_school"]
    return out[[*first, *(name for name in out if name not in first)]]


def hadamard80() -> np.ndarray:
    """A Hadamard matrix (80, 80) of signs: Paley's of order 20 (1933) times one of order 4."""
    squares = {(x * x) % 19 for x in range(1, 19)}
    jacobsthal = np.array(
        [[0 if i == j else (1 if (i - j) % 19 in squares else -1) for j in range(19)] for i in range(19)]
    )
    skew = np.block([[np.zeros((1, 1)), np.ones((1, 19))], [-np.ones((19, 1)), jacobsthal]])
    four = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    return np.kron(skew + np.eye(20), four)


def _two_of(rng: np.random.Generator, chance: np.ndarray) -> np.ndarray:
    """Two different schools, systematically with these probabilities, which sum to 2."""
    order = rng.permutation(len(chance))
    edges = np.cumsum(chance[order])
    start = rng.random()
    return order[np.searchsorted(edges, [start, start + 1])]


def _schools(rng: np.random.Generator, log_size: np.ndarray) -> dict[str, np.ndarray]:
    """Between parts of all schools: large ones achieve more, which is what unequal chances of selection do not forgive."""
    b = POPULATION["between"]
    ses = rng.normal(0, b["sd"]["ses"], SCHOOLS)
    share = np.sqrt(1 - b["share of size"])
    noise = b["residual sd"]["math"] * (np.sqrt(b["share of size"]) * log_size + share * rng.normal(size=SCHOOLS))
    math = b["mean"]["math"] + b["regressions"]["ses"] * ses + noise
    interest = rng.normal(0, b["sd"]["interest"], SCHOOLS)
    items = rng.normal(0, b["residual sd"]["item"], (SCHOOLS, 3))
    return {"ses": ses, "math": math, "interest": interest, "items": items}


def _pupils(rng: np.random.Generator, between: dict[str, np.ndarray], j: int, size: int) -> dict:
    """The pupils that are drawn of one school: weights given the school, background, items and plausible values."""
    w = POPULATION["within"]
    language = rng.random(size) < w["share of language"]
    ses = rng.normal(0, w["sd"]["ses"], size) - w["ses of language"] * (language - w["share of language"])
    interest = rng.normal(0, w["sd"]["interest"], size)
    expected = w["regressions"]["ses"] * ses + w["regressions"]["interest"] * interest
    math = expected + rng.normal(0, w["residual sd"]["math"], size)
    chance = np.where(language, 2.0, 1.0)
    chance = np.minimum(PUPILS * chance / chance.sum(), 1.0)
    drawn = rng.random(size) < chance
    if drawn.sum() < 3:
        drawn[rng.permutation(size)[:3]] = True
    test = math + rng.normal(0, w["error sd of the test"], size)
    known = w["residual sd"]["math"] ** 2 / (w["residual sd"]["math"] ** 2 + w["error sd of the test"] ** 2)
    posterior, spread = expected + known * (test - expected), np.sqrt(1 - known) * w["residual sd"]["math"]
    rows: dict = {"w_pupil": np.round(1 / chance, 5), "language": language.astype(int)}
    rows["ses"] = np.round(ses + between["ses"][j], 3)
    for i, loading in enumerate(w["loadings"]["interest"], 1):
        item = loading * (interest + between["interest"][j]) + rng.normal(0, w["residual sd"]["item"], size)
        rows[f"interest{i}"] = np.round(item + between["items"][j, i - 1] + 3, 3)
    for m in range(5):
        value = posterior + spread * rng.normal(size=size) + between["math"][j]
        rows[f"PV{m + 1}MATH"] = np.round(value, 3)
    return {name: values[drawn] for name, values in rows.items()}


def write(path: Path) -> None:
    """The data set as gzipped CSV, without the time of writing."""
    text = simulate_assessment().to_csv(index=False, lineterminator="\n").encode()
    path.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))


if __name__ == "__main__":
    write(Path(__file__).with_name("assessment.csv.gz"))
