"""The smallest two-level model with a chi-square that means something: one factor with three indicators at each level.

Tests of compiled batches share it, and its design, so that they share compiled programs.
"""

import functools

import jax
import numpy as np
import pandas as pd

import mlsem_jax as ml

MODEL = """
level: 1
  fw =~ y1 + a*y2 + y3
level: 2
  fb =~ y1 + y2 + b*y3
  y1 ~~ 0.2*y1
  product := a*b
"""
SIZES = np.repeat([5, 10], 30)
VALUES = {
    "a": 0.8,
    "fw=~y3": 1.2,
    "y1~~y1": 0.6,
    "y2~~y2": 0.7,
    "y3~~y3": 0.5,
    "fw~~fw": 1.0,
    "fb=~y2.l2": 0.9,
    "b": 1.1,
    "y2~~y2.l2": 0.2,
    "y3~~y3.l2": 0.2,
    "fb~~fb.l2": 0.8,
    "y1~1.l2": 1.0,
    "y2~1.l2": 2.0,
    "y3~1.l2": 3.0,
}


def rows(sizes: np.ndarray = SIZES, seed: int = 4) -> pd.DataFrame:
    """One data set drawn with NumPy, independently of the library."""
    rng, cluster = np.random.default_rng(seed), np.repeat(np.arange(len(sizes)), sizes)
    fw, fb = rng.normal(size=len(cluster)), rng.normal(size=len(sizes)) * 0.8**0.5
    u = np.stack(
        [fb * load + rng.normal(size=len(sizes)) * sd for load, sd in ((1, 0.45), (0.9, 0.45), (1.1, 0.45))], 1
    )
    e = np.stack(
        [fw * load + rng.normal(size=len(cluster)) * sd for load, sd in ((1, 0.77), (0.8, 0.84), (1.2, 0.71))], 1
    )
    return pd.DataFrame(u[cluster] + e + [1, 2, 3], columns=["y1", "y2", "y3"]).assign(g=cluster)


@functools.cache
def tiny_model():
    return ml.model(MODEL, rows(), cluster="g")


@functools.cache
def tiny_fit():
    return ml.sem(MODEL, rows(), cluster="g")


THETA = np.array([VALUES[name] for name in tiny_model().names])


@functools.cache
def tiny_batch(n: int = 200, seed: int = 1):
    """Statistics of n data sets at THETA."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, ml.simulate(tiny_model(), THETA, seed, SIZES, n))
