"""What a saved fit could not compute from the rest of its file, stored as it came out of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import TESTS, ChiSquare, RobustTests, Scaling, Vcov, robust_by_name, vcov
from mlsem_jax.report.exchange._codec import decode, encode
from mlsem_jax.report.exchange._stored import require

# of a fit in two steps: its tests, of each structural model or the whole one
STEPS = "two_step_tests"


def of_rows(estimation: Estimation) -> bool:
    """Whether the units of the scores are rows."""
    return estimation.data.single and not estimation.data.clustered


def derived_record(estimation: Estimation, composed: bool) -> dict[str, Any]:
    """What a fit read from the file could not compute, because it takes scores of rows or of clusters with missing values, or
    several steps.
    """
    options = estimation.options
    missing = bool(len(estimation.reduction.pattern_codes))
    replicated = options.se == "replicates"
    if not (of_rows(estimation) or missing or replicated or composed) or not estimation.model.maximum.status.converged:
        return {}
    out: dict[str, Any] = {}
    if composed or options.se.startswith("robust") or replicated or options.information == "first.order":
        out["vcov"] = encode(np.asarray(vcov(estimation).matrix))
    if STEPS in estimation.derived:
        out[STEPS] = [_tests_record(one) for one in estimation.derived[STEPS]]
    elif options.robust and estimation.h1 is not None:
        out |= {name: _tests_record(value) for name, value in robust_by_name(estimation).items()}
    return out


def _tests_record(tests: RobustTests) -> Any:
    """Statistics, degrees of freedom and factors of the model and the baseline, and the scaling factors of h1 and the model."""
    pairs = [None if t is None else (t.statistic, t.df, t.factor) for t in (tests.model, tests.baseline)]
    return encode([*pairs, *(None if s is None else (s.factor, s.q) for s in (tests.h1, tests.h0))])


def _tests(value: Any, where: str) -> RobustTests:
    parts = decode(value, where)
    require(isinstance(parts, list) and len(parts) == 4, where, "four parts were expected")
    for part, size in zip(parts, (3, 3, 2, 2), strict=True):
        numbers = part is None or (isinstance(part, tuple) and len(part) == size)
        require(numbers and all(isinstance(x, int | float) for x in part or ()), where, "numbers were expected")
    model, baseline, h1, h0 = parts
    require(model is not None and (h1 is None) == (h0 is None), where, "a test is missing")
    return RobustTests(
        ChiSquare(*model),
        None if baseline is None else ChiSquare(*baseline),
        None if h1 is None else Scaling(*h1),
        None if h0 is None else Scaling(*h0),
    )


def read_derived(record: Any, estimation: Estimation) -> None:
    """Put what the file says in the place of what would be computed."""
    require(isinstance(record, dict), "derived", "names and values were expected")
    q = estimation.model.problem.q
    for name, value in record.items():
        if name == "vcov":
            matrix = decode(value, "derived.vcov")
            require(
                isinstance(matrix, np.ndarray) and matrix.shape == (q, q), "derived.vcov", f"{q} x {q} were expected"
            )
            estimation.derived["vcov"] = Vcov(matrix)
        elif name == STEPS:
            require(isinstance(value, list), f"derived.{name}", "a list was expected")
            estimation.derived[name] = tuple(_tests(one, f"derived.{name}") for one in value)
        else:
            require(name in TESTS, f"derived.{name}", "there is no such result")
            found = _tests(value, f"derived.{name}")
            require(found.h1 is not None, f"derived.{name}", "a test is missing")
            estimation.derived[name] = found
