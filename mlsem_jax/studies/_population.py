"""The population of a cell: a model with a value for every parameter, made of a text without data, or of a model with data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsem_jax._arguments import number_of
from mlsem_jax._errors import DataError, ModelError, listing, nearest
from mlsem_jax.estimation import Model, as_theta, kind_of, split_covariates, with_exogenous
from mlsem_jax.functional import model as make_model
from mlsem_jax.models import Moments, Parameter, Specification
from mlsem_jax.numerics import float64
from mlsem_jax.syntax import Syntax, SyntaxOptions, read_model, specify

# the column of clusters in frames that are made up
CLUSTER = "cluster"
# rows in a cluster of such a frame
ROWS = 4


@float64
def model_of_text(text: Any, options: dict[str, Any], frame: Any = None) -> Model:
    """The model of a text. frame: a table of its variables; without one, one is made up whose covariates have mean 0, variance 1
    and no correlation.
    """
    import pandas as pd

    parsed = read_model(text, call="study(design, model)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on columns that are made up
        if frame is None:
            syntax = SyntaxOptions.for_function("sem", **options)
            specification = specify(parsed, options=syntax, data_variables=None)
            frame = pd.DataFrame(_columns(specification))
        return make_model(parsed, frame, cluster=CLUSTER if parsed.has_levels else None, **options)


def check_one_group(text: Syntax) -> None:
    if text.has_groups:
        raise ModelError(
            "A text with group: blocks says nothing of how large its groups are. Make the model with data, ml.model(text, data, "
            "cluster=..., group=...), and pass it with values=."
        )


def _columns(specification: Specification) -> dict[str, np.ndarray]:
    """Rows by variable with exactly the moments that covariates are to have: mean 0, variance 1 at each level, uncorrelated."""
    rng, names = np.random.default_rng(1), specification.variables
    p, single = len(names), specification.single
    clusters = 1 if single else 2 * p + 20
    rows = 4 * p + 40 if single else ROWS
    within = np.array([name in specification.within.observed for name in names], float)
    between = np.array([name in specification.between.observed for name in names], float)
    noise = rng.normal(size=(clusters, rows, p))
    noise = (noise - noise.mean(axis=1, keepdims=True)).reshape(-1, p)
    # deviations from cluster means count N - J times where a variable has both parts
    often = np.where(between * within > 0, len(noise) - clusters, len(noise)) if not single else np.full(p, len(noise))
    values = _orthogonal(noise) * np.sqrt(often) * within
    if not single:
        means = rng.normal(size=(clusters, p))
        spread = np.where(within > 0, 1 + 1 / rows, 1.0) * between
        effects = _orthogonal(means - means.mean(axis=0)) * np.sqrt(clusters * spread)
        values = values + np.repeat(effects, rows, axis=0)
    cluster = {} if single else {CLUSTER: np.repeat(np.arange(clusters), rows)}
    return {name: values[:, i] for i, name in enumerate(names)} | cluster


def _orthogonal(x: np.ndarray) -> np.ndarray:
    return np.linalg.qr(x)[0]


@float64
def holding_covariates(model: Model, population: Model, theta: np.ndarray) -> Model:
    """The model with the moments of covariates of both levels that the population has at theta, where it has such covariates: in
    every data set they are known, as the population's own model knows them.
    """
    if not split_covariates(model.labels.specification):
        return model
    order = np.array([population.variables.index(name) for name in model.variables])
    levels = [
        (np.asarray(level.cov)[:, order][:, :, order], np.asarray(level.mean)[:, order])
        for level in population(theta).levels
    ]
    (within, within_mean), (between, between_mean) = levels
    return with_exogenous(model, Moments.two_level(within, between, within_mean, between_mean))


def values_of(model: Model, given: Mapping[str, float], what: str) -> np.ndarray:
    """theta (q,) from values by name and the start() values of the text; means and intercepts are 0 where nothing is said.

    Raises ModelError for names that the model does not have, DataError where a parameter has no value.
    """
    labels, places = model.labels, dict(model.labels.by_label)
    named: dict[str, float] = {}
    for row in labels.specification.parameters:
        if row.free and row.name in places:
            value = row.start if row.start is not None else 0.0 if row.op == "~1" else None
            if value is not None:
                named.setdefault(labels.natural[places[row.name]], value)
    for name, value in given.items():
        number = number_of(value)
        if number is None or not np.isfinite(number):
            raise DataError(f"The value of {name!r} must be a number, not {value!r}.")
        if name not in places:
            raise ModelError(_no_such(model, name, what))
        named[labels.natural[places[name]]] = number
    if absent := [name for name in model.names if name not in named]:
        raise DataError(
            f"The population has no value for {listing(absent)}. Write start(0.5)* before the variable in the text, or give them "
            f'by name: values={{"{absent[0]}": 0.5}}, or as a column of the design.'
        )
    return np.asarray(as_theta(model, named, what, name="values", finite=True), float)


def _no_such(model: Model, name: str, what: str) -> str:
    for row in model.labels.specification.parameters:
        if row.name == name and not row.free:
            held = "the data's own" if row.value is None else f"fixed at {row.value:g} in the text"
            return f"{what}: {name!r} is {held}, so that no value can be given for it. Write start() in place of the number."
    known = dict(model.labels.by_label)
    near = nearest(name, known)
    return f"{what} names {name!r}, which is no parameter of the population.{near or f' It has {listing(known, 12)}.'}"


def natural_values(model: Model, theta: np.ndarray) -> dict[tuple[str, str, str, int, int], float]:
    """The value of every row of the parameter table, by (lhs, op, rhs, level, group); exogenous moments that the data decide
    are left out.
    """
    places, found = dict(model.labels.by_label), {}
    natural = np.asarray(model.structure.offset) + np.asarray(model.structure.basis) @ theta
    for row in model.labels.specification.parameters:
        value = natural[places[row.name]] if row.free and row.name in places else row.value
        if value is not None:
            found[key_of_row(row)] = float(value)
    return found


def key_of_row(row: Parameter) -> tuple[str, str, str, int, int]:
    """Covariances have their names in alphabetical order."""
    lhs, rhs = sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)
    return lhs, row.op, rhs, row.level, row.group


def check_is_model(model: Any, name: str) -> None:
    if isinstance(model, Model | str | Syntax | list | tuple):
        return
    more = " Pass fit.model, and values=fit.coef()." if hasattr(model, "coef") else ""
    raise ModelError(f"{name} is a text, or a model of ml.model(text, data, cluster=...), not {kind_of(model)}.{more}")
