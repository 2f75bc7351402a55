"""What a user passes to ml_lvm and its relatives, checked. What is not understood is an error, with the nearest known word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.data import TwoLevelData, column_names, prepare
from mlsem_jax.estimation import FitOptions
from mlsem_jax.models import registered
from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._identify import Identification
from mlsem_jax.networks._layout import LEVELS, Layout
from mlsem_jax.networks._model import Model
from mlsem_jax.networks._patterns import read_pattern
from mlsem_jax.networks._standardize import standardized
from mlsem_jax.networks._table import make_table

ESTIMATORS = {"default": "ML", "ML": "ML", "FIML": "ML", "MLR": "MLR"}
# arguments of psychonetrics that have no meaning here, and why
ELSEWHERE = {
    "optimizer": "There is one optimiser, which needs no choice.",
    "storedata": "Leave it out: the data are always kept.",
    "sampleStats": "Pass the data.",
    "covs": "Two-level models need the rows: pass a data frame.",
    "bootstrap": "Fit the model, then call fit.bootstrap().",
    "boot_sub": "Fit the model, then call fit.bootstrap().",
    "boot_resample": "Fit the model, then call fit.bootstrap().",
    "baseline_saturated": "Use baseline=False or h1=False.",
    "identify": "Use identification='none'.",
    "lambda": "It is called lambda_ here.",
    "groupvar": "It is called groups.",
    "group": "It is called groups.",
    "cluster": "It is called clusters.",
}
_GENERAL = ("se", "test", "h1", "baseline", "verbose", "iter_max", "missing", "optim_method")
_FIT_OPTIONS = (*_GENERAL, "em_iter_max", "em_fx_tol", "em_dx_tol", "em_acceleration")


def split_keywords(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the fit, and the rest, which should be patterns."""
    options = {name: value for name, value in keywords.items() if name in _FIT_OPTIONS}
    return options, {name: value for name, value in keywords.items() if name not in options}


def read_data(
    data: Any,
    clusters: str | None,
    groups: str | None,
    vars: Sequence[str] | None,
    within_only: Sequence[str],
    between_only: Sequence[str],
    standardize: str,
) -> tuple[TwoLevelData, tuple[str, ...], tuple[str, ...]]:
    """Checked data, group labels, and the names of the variables."""
    known = column_names(data)
    if vars is None:
        vars = [name for name in known if name not in (clusters, groups)]
    names = (vars,) if isinstance(vars, str) else tuple(map(str, vars))
    for argument, some in (("within_only", within_only), ("between_only", between_only)):
        if isinstance(some, str):
            raise ModelError(f"{argument} takes a list of variables: [{some!r}].")
        for name in some:
            if name not in names:
                raise ModelError(f"{argument} names {name!r}, which is not among vars.{nearest(name, names)}")
    if set(within_only) & set(between_only):
        raise ModelError(
            f"{listing(set(within_only) & set(between_only))} cannot be both within_only and between_only."
        )
    ordered = [v for v in names if v not in between_only] + [v for v in names if v in between_only]
    if list(names) != ordered:
        raise ModelError(f"Put the between_only variables last: vars={ordered}, and order the rows of lambda_ alike.")
    prepared = prepare(
        data,
        cluster=clusters,
        group=groups,
        within=[v for v in names if v not in between_only],
        between=[v for v in names if v not in within_only],
        missing="ml",
        group_splits_clusters=True,
    )
    return standardized(prepared, standardize), prepared.group_labels, names


def fit_options(estimator: str, information: str | None, options: dict[str, Any], data: TwoLevelData) -> FitOptions:
    if estimator not in ESTIMATORS:
        raise ModelError(
            f"estimator={estimator!r} is not available.{nearest(estimator, ESTIMATORS)} 'default', 'ML' and 'FIML' are the exact "
            "maximum likelihood, with or without missing values; 'MLR' adds robust standard errors."
        )
    if information is None:
        complete = not np.isnan(data.values).any()
        information = "expected" if complete and estimator != "MLR" else "observed"
    return FitOptions.make(estimator=ESTIMATORS[estimator], information=information, **({"missing": "ml"} | options))


def make_model(
    function, layout: Layout, data, patterns: dict[str, Any], equal, rule: str, options: FitOptions
) -> Model:
    rules: tuple[Identification, ...] = ("loadings", "variance", "none")
    known_rule = next((known for known in rules if known == rule), None)
    if known_rule is None:
        raise ModelError(
            f"identification={rule!r} is not available.{nearest(rule, rules)} Use one of {', '.join(map(repr, rules))}."
        )
    _check_patterns(layout, patterns)
    equal = (equal,) if isinstance(equal, str) else tuple(equal)
    equal = () if equal == ("none",) else equal
    for name in equal:
        if name not in layout.matrices:
            raise ModelError(
                f"equal names {name!r}, which is no matrix of this model.{nearest(name, layout.matrices)} Its matrices are "
                f"{listing(layout.matrices, 12)}."
            )
    if equal and not layout.groups:
        raise ModelError("equal= is about groups, and there is one group: name their column with groups=.")
    read = {
        name: read_pattern(
            matrix, _default(layout, name) if patterns.get(name) is None else patterns[name], layout.groups
        )
        for name, matrix in layout.matrices.items()
    }
    model = Model(layout, make_table(layout, read, equal), data, options, known_rule, equal, function)
    return changed(model, model.wanted, "", log=False)


def _default(layout: Layout, name: str) -> str:
    """What psychonetrics takes where no pattern is given."""
    matrix = layout.matrices[name]
    if matrix.block is None:
        return "zero" if matrix.cell == "beta" or (matrix.cell == "lambda" and layout.loadings == "none") else "full"
    return "diag" if matrix.block.part == "epsilon_" else "full"


def _check_patterns(layout: Layout, patterns: dict[str, Any]) -> None:
    """Every pattern names a matrix of the model. Raises ModelError that says what would make it one."""
    known = {
        f"{name}{block.suffix}": (block, kind.name)
        for block in layout.blocks
        for kind in registered()
        for name in (kind.core, kind.scale)
    }
    for name in patterns:
        if name in layout.matrices:
            continue
        if name in ELSEWHERE:
            raise ModelError(f"There is no argument {name!r} here. {ELSEWHERE[name]}")
        if name in known:
            block, kind = known[name]
            where = LEVELS[block.level]
            part = {"zeta_": "_latent", "epsilon_": "_residual", "": ""}[block.part]
            raise ModelError(
                f"{name} is not part of this model: {where}{part}={block.kind!r} is written with {block.core}"
                f"{' and ' + block.scale if block.scale else ''}. For {name} use {where}{part}={kind!r}."
            )
        raise ModelError(
            f"There is no argument {name!r}.{nearest(name, [*layout.matrices, *_FIT_OPTIONS, 'clusters', 'groups'])}"
        )
