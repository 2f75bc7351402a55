"""What the chi-square of two steps is on average: c times its degrees of freedom.

The second step takes the estimates of the first for the truth. Local: the structural model is fitted to the moments of the latent
variables as to those of observed ones, but their sampling covariance Gamma has the items' errors and step 1 in it; the
chi-square is trace(U Gamma) on average (Satorra & Bentler 1994). Global: the log-likelihood at the estimates of both steps is
below its maximum by half of trace(I V) - q on average, I the information and V (q, q) the sampling covariance of both steps.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mlsem_jax.estimation import Estimation, Fitted
from mlsem_jax.inference import (
    RobustTests,
    baseline_chi_square,
    chi_square,
    free_of_covariates,
    information,
    invert,
    moment_information,
    moment_trace,
    test_scaling,
    unrestricted_scores,
)
from mlsem_jax.measurement._sam_parts import saturated_structure, structural_variables
from mlsem_jax.measurement._sam_steps import ROBUST, Key, TwoSteps, combined, key_of, two_step_moves, two_step_vcov
from mlsem_jax.numerics import float64


@float64
def two_step_tests(steps: TwoSteps) -> tuple[RobustTests, ...]:
    """The tests of the model and the baseline with their factors c: of each structural model (local), or of the whole one."""
    if not steps.structural:
        return (_of_the_whole(steps),)
    specification, items = steps.estimation.model.build.specification, {v for own in steps.parts.items for v in own}
    levels = [n for n in specification.numbers if structural_variables(specification, n, items)]
    covariance = _latent_covariance(steps, levels)
    return tuple(_of_a_level(one, level, covariance) for level, one in zip(levels, steps.structural, strict=True))


def _latent_covariance(steps: TwoSteps, levels: list[int]) -> dict[tuple[Key, Key], float]:
    """Sampling covariances of the moments of the structural variables: both steps, the second without restrictions."""
    found: dict[Key, float] = {}
    for level, one in zip(levels, steps.structural, strict=True):
        assert one.h1 is not None  # step 2 is fitted with it
        found |= {_at_level(key, level): float(one.h1.natural[i]) for key, i in _places(one.h1)}
    whole = steps.estimation
    found = {key: float(whole.model.natural[i]) for key, i in _places(whole.model)} | found
    free = saturated_structure(whole.model.build.specification, steps.parts)
    end = combined(free, whole, found, whole.options, whole.status)
    basis, places = end.model.build.basis, _places(end.model)
    matrix = basis @ two_step_vcov(end, steps.measurement) @ basis.T
    return {(a, b): float(matrix[i, j]) for a, i in places for b, j in places}


def _places(fitted: Fitted) -> list[tuple[Key, int]]:
    """Free rows of a fit and the natural parameters that they are."""
    rows = zip(fitted.build.specification.parameters, fitted.build.index, strict=True)
    return [(key_of(row), int(i)) for row, i in rows if i >= 0]


def _at_level(key: Key, level: int) -> Key:
    return (*key[:3], level, key[4])


def _of_a_level(one: Estimation, level: int, covariance: dict[tuple[Key, Key], float]) -> RobustTests:
    """The tests of a structural model. Moments that the whole model does not have, means of level 1, do not vary."""
    assert one.h1 is not None
    keys = {i: _at_level(key, level) for key, i in _places(one.h1)}
    keep = free_of_covariates(one.h1, one.model.build.specification)
    gamma = np.array([[covariance.get((keys[i], keys[j]), 0.0) for j in keep] for i in keep])
    tests = []
    for test, fitted in ((chi_square(one), one.model), (baseline_chi_square(one), one.baseline)):
        if test is not None and fitted is not None:
            factor = moment_trace(fitted, one, keep, gamma) / test.df if test.df else math.nan
            tests.append(replace(test, factor=factor))
    return RobustTests(tests[0], tests[1] if len(tests) > 1 else None)


def _of_the_whole(steps: TwoSteps) -> RobustTests:
    """The tests of the whole model at the estimates of both steps; the baseline is at a maximum of its own."""
    end = steps.estimation
    test, baseline = chi_square(end), baseline_chi_square(end)
    if end.options.se in ROBUST:
        h1 = unrestricted_scores(end)
        a, d = moment_information(end.model, end, h1.keep)
        rest = h1.scores @ invert(h1.information) - two_step_moves(end, steps.measurement) @ d.T
        trace = float(np.sum(a * (rest.T @ rest)))
        if baseline is not None and end.baseline is not None:
            baseline = replace(baseline, factor=test_scaling(end.baseline, end, h1))
    else:
        kind = "expected" if end.options.information == "expected" else "observed"
        trace = test.df + float(np.sum(information(end.model, end, kind) * two_step_vcov(end, steps.measurement)))
        trace -= end.model.build.dimension
    return RobustTests(replace(test, factor=trace / test.df if test.df else math.nan), baseline)
