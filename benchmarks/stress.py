"""Stress suite: does a fit reach the best optimum known, and does its status tell the truth?

    python benchmarks/stress.py [--replications N] [--only TEXT] [--json stress.json]

More than 2,000 data sets are simulated over intraclass correlation, number and size of clusters and number of indicators, with
Heywood populations, badly scaled and nearly collinear indicators. Each is fitted once by the public route (`ml.sem`), and from 16
random starting values. The best optimum known is the highest verified maximum of all; it counts as proper if at
least 2 of the 16 starts reached it. Counted are

    reached          fits that reached the best optimum known, of those data sets that have a proper one
    false_converged  fits that report a maximum where there is none: the gradient is not zero or the information not positive
                     definite (both computed again here), or nearby starts climb higher
    lower_maximum    fits that report a maximum which is one, but not the highest known
    false_failure    fits that report no maximum although a proper one is known
    failures         statuses of the fits without a maximum, where none is known either
    undiagnosed      of those, the ones without a sentence that names what runs off or is not identified, or where 100 more
                     iterations do not confirm it: the likelihood keeps rising and no maximum turns up

Exit status 0 when false_converged is 0 and at least 99.9 % reached.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

import mlsem_jax as ml
from mlsem_jax.estimation import Estimation, Problem
from mlsem_jax.estimation.problem._records import Fitted
from mlsem_jax.estimation.search._rescaled import rescale
from mlsem_jax.estimation.search._scoring import maximise
from mlsem_jax.estimation.strategies._driver import settled
from mlsem_jax.numerics import float64

STARTS, NEARBY = 16, 2
# iterations of each of those searches: most that succeed need 10 to 30
LIMIT = 40
# data sets of a cell by number of indicators, unless told otherwise
REPLICATIONS = {3: 12, 6: 8, 10: 4}
# log-likelihoods closer than this are one optimum
SAME = 1e-5


@dataclass(frozen=True)
class Cell:
    """One population and design. kind: plain, heywood, scaled (one variable in other units) or collinear."""

    kind: str
    icc: float
    clusters: int
    size: int | str
    p: int

    @property
    def name(self) -> str:
        return f"{self.kind} icc={self.icc} clusters={self.clusters} size={self.size} p={self.p}"


def cells() -> list[Cell]:
    plain = [
        Cell("plain", *c) for c in product((0.0, 0.01, 0.05, 0.25), (8, 20, 50, 200), (2, 5, 20, "mixed"), (3, 6, 10))
    ]
    hard = [
        Cell(kind, *c)
        for kind in ("heywood", "scaled", "collinear")
        for c in product((0.05, 0.25), (20, 50), (5, "mixed"), (3, 6))
    ]
    return plain + hard


def model_text(p: int) -> str:
    indicators = " + ".join(f"y{i + 1}" for i in range(p))
    return f"level: 1\n  fw =~ {indicators}\nlevel: 2\n  fb =~ {indicators}\n"


def simulate(cell: Cell, random: np.random.Generator) -> pd.DataFrame:
    """One data set: a factor at each level, loadings .6 to .9, total variances 1."""
    if cell.size == "mixed":
        sizes = np.random.default_rng(cell.clusters).choice([1, 2, 3, 5, 8, 12, 16, 20], cell.clusters)
        sizes[0], sizes[1] = 20, 1
    else:
        sizes = np.full(cell.clusters, cell.size)
    cluster = np.repeat(np.arange(cell.clusters), sizes)
    loading = np.linspace(0.6, 0.9, cell.p)
    unique_w, unique_b = 1 - loading**2, 1 - loading**2
    if cell.kind == "heywood":
        unique_b = np.where(np.arange(cell.p) == 0, 0.0, unique_b)
    between = random.standard_normal((cell.clusters, 1)) * loading
    between += random.standard_normal((cell.clusters, cell.p)) * np.sqrt(unique_b)
    within = random.standard_normal((len(cluster), 1)) * loading
    within += random.standard_normal((len(cluster), cell.p)) * np.sqrt(unique_w)
    if cell.kind == "collinear":
        within[:, 1] = within[:, 0] + 0.03 * random.standard_normal(len(cluster))
        between[:, 1] = between[:, 0] + 0.03 * random.standard_normal(cell.clusters)
    values = np.sqrt(cell.icc) * between[cluster] + np.sqrt(1 - cell.icc) * within
    if cell.kind == "scaled":
        values[:, 1] *= 1e6
        values[:, 2] *= 1e-3
    frame = pd.DataFrame(values, columns=[f"y{i + 1}" for i in range(cell.p)])
    frame["cluster"] = cluster
    return frame


def random_starts(estimation: Estimation, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Starting values (count, q) far and wide, a third of them with a negative variance of the between factor; and which."""
    made = estimation.model.build
    within, between, mean = estimation.reduction.sample
    place = {name: i for i, name in enumerate(made.specification.variables)}
    variance = {1: np.diag(within[0]), 2: np.maximum(np.diag(between[0]), 0.05 * np.diag(within[0]))}
    negative = np.arange(count) % 3 == 2
    out = np.empty((count, made.free))
    for at, k in enumerate(made.kept):
        row = next(r for r, i in zip(made.specification.parameters, made.index, strict=True) if i == k)
        own = variance[row.level]
        if row.op == "~1":
            out[:, at] = mean[0, place[row.lhs]]
        elif row.op == "=~":
            ratio = np.sqrt(own[place[row.rhs]] / own[0])
            out[:, at] = ratio * random.uniform(0.2, 1.5, count) * random.choice([-1, 1], count, p=[0.15, 0.85])
        elif row.lhs in place:
            out[:, at] = own[place[row.lhs]] * np.exp(random.normal(-0.7, 0.6, count))
        else:
            out[:, at] = own[0] * np.exp(random.normal(-0.7, 0.6, count))
            if row.level == 2:
                # small enough to leave the covariance matrix of the cluster means positive definite nearly always
                out[negative, at] *= -0.2
    return out, negative


@float64
def search_from_everywhere(estimation: Estimation, random: np.random.Generator) -> np.ndarray:
    """The verified maxima (16,) from random starts, -inf where a search found none.

    Two thirds of the searches run with factors scaled by their variance (+1 or -1) in place of a marker: the same likelihood in
    other coordinates, where other searches succeed.
    """
    model = estimation.model
    scaled = {sign: rescale(model.problem, {"fw.1": 1.0, "fb.2": sign}) for sign in (1.0, -1.0)}
    out = np.full(STARTS, -np.inf)
    for i, (theta, negative) in enumerate(zip(*random_starts(estimation, STARTS, random), strict=True)):
        other = scaled[-1.0] if negative else scaled[1.0] if i % 2 else None
        problem = model.problem if other is None else other
        end = maximise(problem, theta if other is None else other.forth(theta), iterations=LIMIT)
        if settled(end):
            out[i] = end.value
    return out


@float64
def search_nearby(model: Fitted, random: np.random.Generator) -> float:
    """The highest verified maximum from starts within a twentieth of a standard error of the end point; -inf if there is none."""
    maximum = model.maximum
    diagonal = np.abs(np.diag(maximum.information))
    unit = 0.05 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    starts = maximum.theta + unit * random.standard_normal((NEARBY, len(maximum.theta)))
    ends = [maximise(model.problem, start, iterations=LIMIT) for start in starts]
    return max((end.value for end in ends if settled(end)), default=-np.inf)


@dataclass
class Counts:
    """Totals over all data sets."""

    datasets: int = 0
    proper: int = 0
    reached: int = 0
    false_converged: int = 0
    lower_maximum: int = 0
    false_failure: int = 0
    undiagnosed: int = 0
    converged: int = 0
    most_iterations: int = 0


def run_cell(cell: Cell, replications: int, counts: Counts, statuses: Counter, failures: Counter, cases: list) -> None:
    """Fit all data sets of a cell once and from random starts, and judge the fits."""
    random = np.random.default_rng(zlib.crc32(cell.name.encode()))
    for i in range(replications):
        frame = simulate(cell, random)
        # what is drawn for the starts does not change the next data set
        own = np.random.default_rng(i)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.sem(model_text(cell.p), frame, cluster="cluster", h1=False, baseline=False)
        value = search_from_everywhere(fit.estimation, own)
        near = search_nearby(fit.estimation.model, own) if fit.converged else -np.inf
        judge(cell, i, fit, value, near, counts, statuses, failures, cases)


def judge(cell, number, fit, value, near, counts, statuses, failures, cases) -> None:
    estimation = fit.estimation
    maximum = estimation.model.maximum
    here = maximum.value
    best = max(value.max(), here if fit.converged else -np.inf)
    proper = bool(np.isfinite(best) and np.sum(value > best - SAME) >= 2)
    counts.datasets += 1
    counts.proper += proper
    counts.converged += int(fit.converged)
    counts.most_iterations = max(counts.most_iterations, fit.iterations)
    statuses[fit.status.name] += 1
    verdict = ""
    if fit.converged:
        if not is_maximum(estimation.model) or near > here + 1e-4:
            verdict = "false_converged"
        elif here < best - SAME:
            verdict = "lower_maximum"
    elif proper:
        verdict = "false_failure"
    else:
        failures[fit.status.name] += 1
        if not diagnosed(fit):
            verdict = "undiagnosed"
    counts.reached += int(proper and fit.converged and here > best - SAME)
    if verdict:
        setattr(counts, verdict, getattr(counts, verdict) + 1)
        cases.append(
            {
                "cell": cell.name,
                "replication": number,
                "verdict": verdict,
                "status": fit.status.name,
                "value": float(here),
                "best": float(best),
                "starts_at_best": int(np.sum(value > best - SAME)),
                "notes": list(estimation.notes),
            }
        )


@float64
def is_maximum(model: Fitted) -> bool:
    """Gradient and information of a reported maximum, computed again: the promised gain and the smallest eigenvalue."""
    theta = model.maximum.theta
    fresh = Problem(model.build, model.problem.statistics)
    gradient = fresh.evaluate(theta).gradient
    information = fresh.observed(theta)
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information * np.outer(scale, scale)
    if np.any(np.diag(information) <= 0) or np.linalg.eigvalsh(scaled)[0] <= 0:
        return False
    g = scale * gradient
    return 0.5 * g @ np.linalg.solve(scaled, g) < 1e-8


@float64
def diagnosed(fit: ml.Fit) -> bool:
    """Whether a fit without maximum says which matrix or parameters run off, and going on confirms it."""
    estimation = fit.estimation
    if fit.status is ml.Status.NOT_IDENTIFIED:
        return any("Not identified" in note for note in estimation.notes)
    if fit.status is not ml.Status.NO_MAXIMUM:
        return False
    if not any("tends to a singular one" in note or "run off together" in note for note in estimation.notes):
        return False
    model = estimation.model
    on = maximise(model.problem, model.theta, iterations=100)
    return not (settled(on) and np.isfinite(on.value))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--replications", type=int, help="data sets a cell (default 12 for p = 3, 8 for 6, 4 for 10: 2,016 in all)"
    )
    parser.add_argument("--only", default="", help="cells whose name contains this text")
    parser.add_argument("--json", default="stress.json", help="file for the result")
    given = parser.parse_args()
    chosen = [cell for cell in cells() if given.only in cell.name]
    # in random order, so that the result so far speaks for the whole grid
    np.random.default_rng(0).shuffle(chosen)
    counts, statuses, failures, cases = Counts(), Counter(), Counter(), []
    started = time.perf_counter()
    for i, cell in enumerate(chosen):
        run_cell(cell, given.replications or REPLICATIONS[cell.p], counts, statuses, failures, cases)
        done = f"{i + 1}/{len(chosen)} cells, {counts.datasets} data sets, {len(cases)} cases to look at"
        print(f"\r{done}", end="", file=sys.stderr, flush=True)
        share = counts.reached / max(counts.proper, 1)
        result = vars(counts) | {
            "reached_share": share,
            "cells": i + 1,
            "statuses": dict(statuses),
            "failures_without_known_maximum": dict(failures),
            "seconds": round(time.perf_counter() - started, 1),
            "cases": cases,
        }
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    print("\n" + json.dumps({k: v for k, v in result.items() if k != "cases"}, indent=1))
    return 0 if counts.false_converged == 0 and share >= 0.999 else 1


if __name__ == "__main__":
    sys.exit(main())
