"""What the parts of a stored fit must be to fit each other: sizes, ranges, and numbers that are numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation, Fitted, Maximum
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics
from mlsem_jax.models import BINARY, FUNCTIONS, Binary, Call, Moments, Name, Specification
from mlsem_jax.observed import PatternStatistics, SizePools
from mlsem_jax.options import OPTIONS, check
from mlsem_jax.ordinal import OrdinalTerm, WeightedLeastSquaresTerm
from mlsem_jax.report.exchange._conform import StorageError, check_of, require
from mlsem_jax.report.exchange._stored_ordinal import check_ordinal, without_gaps

_OPERATORS = ("=~", "~", "~~", "~1", "|", "~*~")
# options that hold names of parameters, or an object that is stored by its name
_FREE_OPTIONS = ("optim_method", "start")


def check_options(options: Mapping[str, Any]) -> None:
    """Every option has a value that it can have."""
    for name, value in options.items():
        require(name in OPTIONS, f"options.{name}", "there is no such option")
        if name in _FREE_OPTIONS:
            require(isinstance(value, str | dict), f"options.{name}", "a word or values by name were expected")
            continue
        try:
            check(name, value, OPTIONS[name])
        except ModelError as problem:
            raise StorageError(f"options.{name}: {problem}") from None


def check_fields(fields: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """The fields of the fit beside its estimation, by their annotations."""
    require(set(fields) == set(known), "fit", f"its fields must be {', '.join(known)}")
    for name, annotation in known.items():
        require(
            check_of(annotation)(fields[name]), f"fit.{name}", f"{type(fields[name]).__name__} is not what it holds"
        )


def check_estimation(estimation: Estimation) -> None:
    """Raise StorageError where parts of an estimation do not fit each other. Arrays are of the right types already."""
    specification, data = estimation.model.build.specification, estimation.data
    clusters, groups = len(data.cluster_ids), specification.ngroups
    require(data.variables == specification.variables, "data.variables", "they are not those of the model")
    require(data.group_labels == specification.groups, "data.group_labels", "they are not those of the model")
    _codes(data.group, clusters, groups, "data.group")
    mask = data.between_only
    require(mask.shape == (len(data.variables),) and mask.dtype == bool, "data.between_only", "one flag a variable")
    only = tuple(name for name, flag in zip(data.variables, mask, strict=True) if flag)
    require(only == specification.between_only, "data.between_only", "they are not those of the model")
    absent = np.zeros_like(specification.absent) if data.absent is None else data.absent
    require(np.array_equal(absent, specification.absent), "data.absent", "they are not those of the model")
    _check_reduction(estimation, clusters)
    _moments(estimation.exogenous, specification, "estimation.exogenous", True)
    for name in ("model", "h1", "baseline"):
        fitted = getattr(estimation, name)
        if fitted is not None:
            own = fitted.build.specification
            require(
                (own.variables, own.ngroups) == (specification.variables, groups),
                f"estimation.{name}",
                "its variables or groups are not those of the model",
            )
            check_specification(own, f"estimation.{name}.specification")
            _check_fitted(fitted, f"estimation.{name}")


def check_specification(specification: Specification, where: str) -> None:
    """Rows of the parameter table name variables of their level, and expressions known functions."""
    for i, row in enumerate(specification.parameters):
        at = f"{where}.parameters[{i}]"
        require(row.level in specification.numbers, at, f"there is no level {row.level}")
        require(1 <= row.group <= specification.ngroups, at, f"there is no group {row.group}")
        require(row.cell is None or min(row.cell.row, row.cell.col) >= 0, at, "a cell counts from 0")
        require(row.cell is not None or row.op in _OPERATORS, at, f"there is no operator {row.op!r}")
        for value in (row.value, row.start):
            require(value is None or np.isfinite(value), at, "its value is no finite number")
    names = [(r.lhs, r.op, r.rhs, r.level, r.group, r.cell) for r in specification.parameters]
    require(len(set(names)) == len(names), where, "a row is there twice")
    sides = [side for c in specification.constraints for side in (c.left, c.right)]
    for expression in (*sides, *(d.expression for d in specification.definitions)):
        _check_expression(expression, where)


def _check_expression(expression: Any, where: str) -> None:
    if isinstance(expression, Binary):
        require(expression.operator in BINARY, where, f"there is no operator {expression.operator!r}")
        _check_expression(expression.left, where)
        _check_expression(expression.right, where)
    elif isinstance(expression, Call):
        require(expression.function in (*FUNCTIONS, "neg"), where, f"there is no function {expression.function!r}")
        _check_expression(expression.argument, where)
    elif isinstance(expression, Name):
        require(expression.name, where, "a name is empty")


def _check_fitted(fitted: Fitted, where: str) -> None:
    maximum, q = fitted.maximum, fitted.build.free
    shapes = {"theta": (q,), "gradient": (q,), "information": (q, q)}
    for name, shape in shapes.items():
        value = getattr(maximum, name)
        require(value is None or value.shape == shape, f"{where}.maximum.{name}", f"its shape must be {shape}")
    jacobian, multipliers = maximum.jacobian, maximum.multipliers
    count = None if jacobian is None else len(jacobian)
    require(jacobian is None or jacobian.shape == (count, q), f"{where}.maximum.jacobian", f"it must have {q} columns")
    alike = (count is None) == (multipliers is None) and (multipliers is None or multipliers.shape == (count,))
    require(alike, f"{where}.maximum.multipliers", "one for each row of the jacobian")
    require(maximum.iterations >= 0, f"{where}.maximum.iterations", "a count was expected")
    _check_trace(maximum, f"{where}.maximum.trace")
    if maximum.status.converged:
        for name in ("theta", "gradient", "information", "value"):
            value = getattr(maximum, name)
            require(value is None or np.all(np.isfinite(value)), f"{where}.maximum.{name}", "a number is not finite")
    _moments(fitted.moments, fitted.build.specification, f"{where}.moments", maximum.status.converged)


def _check_trace(maximum: Maximum, where: str) -> None:
    columns = maximum.trace[0].keys() if maximum.trace else ()
    for entry in maximum.trace:
        require(entry.keys() == columns, where, "its entries must have the same columns")
        for value in entry.values():
            require(isinstance(value, int | float | str), where, "numbers were expected")


def _moments(moments: Moments, specification: Specification, where: str, finite: bool) -> None:
    g, p = specification.ngroups, len(specification.variables)
    both = p + (len(specification.slopes) if moments.directions is not None else 0)
    shapes = {
        "within_cov": (g, p, p),
        "between_cov": (g, both, both),
        "within_mean": (g, p),
        "between_mean": (g, both),
        "directions": (g, both - p, p),
    }
    for name, shape in shapes.items():
        value = getattr(moments, name)
        require(value is None or value.shape == shape, f"{where}.{name}", f"its shape must be {shape}")
        require(value is None or not finite or np.all(np.isfinite(value)), f"{where}.{name}", "a number is not finite")


def _check_reduction(estimation: Estimation, clusters: int) -> None:
    reduction, where = estimation.reduction, "estimation.reduction"
    specification = estimation.model.build.specification
    g, p = specification.ngroups, len(specification.variables)
    codes = np.concatenate([reduction.complete_codes, reduction.pattern_codes])
    require(codes.dtype.kind == "i", where, "codes of clusters are whole numbers")
    require(np.array_equal(np.sort(codes), np.arange(clusters)), where, "every cluster must be there once")
    for name, shape in (("rows", (g,)), ("counts", (g,))):
        value = getattr(reduction, name)
        require(value.shape == shape and np.all(value > 0), f"{where}.{name}", "a positive number for each group")
    shapes = ((g, p, p), (g, p, p), (g, p))
    require(tuple(a.shape for a in reduction.sample) == shapes, f"{where}.sample", "its shapes are not the model's")
    statistics = without_gaps(reduction.statistics)
    for leaf in _arrays((reduction.clusters, statistics, reduction.sample, reduction.rows, reduction.counts)):
        require(np.all(np.isfinite(leaf)), where, "a number is not finite")
    if reduction.clusters is not None:
        own = reduction.clusters
        require(own.mean.shape[1] == p, f"{where}.clusters", f"it must have {p} variables")
        _codes(own.group, len(reduction.complete_codes), g, f"{where}.clusters.group")
        require(np.all(own.size >= 0), f"{where}.clusters.size", "sizes were expected")
    _check_statistics(reduction.statistics, g, p, f"{where}.statistics")


def _arrays(tree: Any) -> Iterator[np.ndarray]:
    return (np.asarray(leaf) for leaf in jax.tree.leaves(tree))


def _check_statistics(statistics: Statistics, g: int, p: int, where: str) -> None:
    require(len(statistics.terms) > 0, where, "they hold nothing")
    for i, term in enumerate(statistics.terms):
        at = f"{where}.terms[{i}]"
        if isinstance(term, CompleteTerm):
            require(term.data.within.shape == (g, p, p), at, f"{g} groups and {p} variables were expected")
            _check_sizes(term.sizes, g, at)
        elif isinstance(term, WeightedLeastSquaresTerm):
            _check_least_squares(term, g, p, at)
        elif isinstance(term, OrdinalTerm):
            check_ordinal(term, g, p, at)
        elif isinstance(term, PatternTerm):
            _check_patterns(term.data, g, p, at)
        else:
            require(False, at, "it is no term that mlsem_jax writes")
    if statistics.pools is not None:
        _check_sizes(statistics.pools, g, f"{where}.pools")


def _check_least_squares(term: WeightedLeastSquaresTerm, g: int, p: int, where: str) -> None:
    layout, count = term.layout, term.layout.total
    require(term.target.shape == (g, count), where, f"{g} groups of {count} statistics were expected")
    require(np.all(term.rows > 0), where, "a number of rows is not positive")
    parts = (layout.kind, layout.row, layout.col, layout.level)
    require(all(len(part) == count for part in parts), where, f"{count} statistics were expected")
    places = (*layout.responses, *layout.ordered, *layout.within_x, *layout.between_x, *layout.row)
    require(all(0 <= place < p for place in places), where, f"{p} variables were expected")
    columns = max(p, layout.thresholds, len(layout.within_x) + len(layout.between_x))
    require(all(0 <= col < columns for col in layout.col), where, "a statistic is of no variable")
    known = {"threshold", "mean", "slope", "covariance"}
    require(set(layout.kind) <= known and set(layout.level) <= {1, 2}, where, "a statistic is of no known kind")


def _check_sizes(sizes: SizePools, g: int, where: str) -> None:
    require(len(sizes.size) == g, where, f"{g} groups were expected")
    require(np.all(sizes.count >= 0) and np.all(sizes.size >= 0), where, "a count is negative")


def _check_patterns(patterns: PatternStatistics, g: int, p: int, where: str) -> None:
    require(patterns.observed.shape[1] == p, where, f"{p} variables were expected")
    _codes(patterns.group, len(patterns.observed), g, f"{where}.group")
    _codes(patterns.between_group, len(patterns.between_observed), g, f"{where}.between_group")
    _codes(patterns.effects, len(patterns.effects), p, f"{where}.effects")
    chunks = patterns.clusters
    limits = {
        "group": g,
        "between_pattern": len(patterns.between_observed),
        "cluster": chunks.group.shape[1],
        "pattern": len(patterns.observed),
    }
    for name, limit in limits.items():
        codes = getattr(chunks, name)
        require(np.all((codes >= 0) & (codes < max(limit, 1))), f"{where}.clusters.{name}", f"codes below {limit}")


def _codes(codes: np.ndarray, count: int, limit: int, where: str) -> None:
    require(
        codes.shape == (count,) and codes.dtype.kind == "i" and np.all((codes >= 0) & (codes < limit)),
        where,
        f"{count} whole numbers from 0 to {limit - 1} were expected",
    )
