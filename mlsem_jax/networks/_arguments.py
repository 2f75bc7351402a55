"""What a user passes to ml_lvm and its relatives, checked. What is not understood is an error, with the nearest known word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from mlsem_jax._arguments import check, choice
from mlsem_jax._errors import DataError, ModelError, listing, nearest
from mlsem_jax.data import SurveyColumns, TwoLevelData, column_names, prepare
from mlsem_jax.estimation import FitOptions
from mlsem_jax.models import registered
from mlsem_jax.networks._edit import changed
from mlsem_jax.networks._fit import Model
from mlsem_jax.networks._identify import Identification
from mlsem_jax.networks._layout import LEVELS, Layout
from mlsem_jax.networks._patterns import read_pattern
from mlsem_jax.networks._standardize import standardized
from mlsem_jax.networks._table import make_table
from mlsem_jax.options import OPTIONS, read_options, spelt_alike

ESTIMATORS = {"default": "ML", "ML": "ML", "FIML": "ML", "MLR": "MLR"}
_ESTIMATOR = choice(*ESTIMATORS)
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
    "cluster_": "It is called clusters.",
    "weights": "It is called sampling_weights here (sampling_weights_between for clusters).",
    "start": "Give the starting value of an element by freepar(matrix, row, col, start=value).",
    "bounds": "Network models are parametrised so that no bounds are needed.",
}
_GENERAL = ("se", "test", "h1", "baseline", "verbose", "iter_max", "missing", "optim_method")
_FIT_OPTIONS = (*_GENERAL, "em_iter_max", "em_fx_tol", "em_dx_tol", "em_acceleration")


_SURVEY = tuple(f.name for f in fields(SurveyColumns))
_LIKELY = ("cluster", "clusters", "school", "class", "id", "subject", "person", "group")
# the arguments that the constructors have by name
_NAMED = (
    *(
        "clusters",
        "groups",
        "vars",
        "within_only",
        "between_only",
        "equal",
        "identification",
        "estimator",
        "information",
    ),
    *("standardize", "lambda_", "lambda_within", "lambda_between", "latents", "within", "between"),
    *("within_latent", "within_residual", "between_latent", "between_residual"),
)


def split_keywords(keywords: dict[str, Any]) -> tuple[dict[str, Any], SurveyColumns, dict[str, Any]]:
    """Options of the fit, columns of a survey design, and the rest, which should be patterns."""
    for name in keywords:
        told = ELSEWHERE.get(name, ELSEWHERE.get(name.replace(".", "_")))
        if told is not None:
            raise ModelError(f"There is no argument {name!r} here. {told}")
        mine = (*_FIT_OPTIONS, *_SURVEY, *_NAMED)
        if name not in mine and (same := spelt_alike(name, mine)):
            dots = ": names have '_' in place of '.' here" if "." in name else ""
            raise ModelError(f"There is no argument {name!r}{dots}. Write {same}=.")
    options = {name: value for name, value in keywords.items() if name in _FIT_OPTIONS}
    given = {name: value for name, value in keywords.items() if name in _SURVEY and value is not None}
    survey = SurveyColumns.of(read_options(given))
    survey.check(False, given)
    return options, survey, {name: v for name, v in keywords.items() if name not in (*_FIT_OPTIONS, *_SURVEY)}


def only(within: Any, between: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables of one level only, as tuples."""
    given = {"within_only": within, "between_only": between}
    first, second = (() if value is None else check(name, value, OPTIONS[name]) for name, value in given.items())
    return first, second


def read_data(
    data: Any,
    clusters: str | None,
    groups: str | None,
    vars: Sequence[str] | None,
    within_only: Sequence[str],
    between_only: Sequence[str],
    standardize: str,
    survey: SurveyColumns | None = None,
) -> tuple[TwoLevelData, tuple[str, ...], tuple[str, ...]]:
    """Checked data, group labels, and the names of the variables."""
    known = column_names(data)
    if clusters is None:
        near = "".join(f" Perhaps clusters={name!r}?" for name in known if name in _LIKELY)
        raise DataError(
            f"A two-level model needs clusters=, the column that says which cluster each row is in.{near} Networks of one level "
            "are not fitted here (psychonetrics' ggm() and lvm() fit them); factor and path models of one level are: ml.cfa, "
            "ml.sem and ml.lavaan(model, data)."
        )
    if vars is None:
        design = () if survey is None else survey.columns
        vars = [name for name in known if name not in (clusters, groups, *design)]
    names = _variables(vars, within_only, between_only)
    prepared = prepare(
        data,
        cluster=clusters,
        group=groups,
        within=[v for v in names if v not in between_only],
        between=[v for v in names if v not in within_only],
        missing="ml",
        group_splits_clusters=True,
        survey=survey,
    )
    return standardized(prepared, standardize), prepared.group_labels, names


def _variables(vars: Any, within_only: Sequence[str], between_only: Sequence[str]) -> tuple[str, ...]:
    """The names in vars, those of level 2 alone at the end. Raises ModelError where they are not that."""
    names = tuple(map(str, vars)) if isinstance(vars, list) else check("vars", vars, OPTIONS["vars"])
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice or not names:
        raise ModelError(
            f"vars names {listing(twice)} twice: once is enough."
            if twice
            else "vars is empty: name the columns to model."
        )
    for argument, some in (("within_only", within_only), ("between_only", between_only)):
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
    return names


def fit_options(estimator: str, information: str | None, options: dict[str, Any], data: TwoLevelData) -> FitOptions:
    given = {"missing": "ml", "estimator": ESTIMATORS[check("estimator", estimator, _ESTIMATOR)]} | options
    if data.survey is not None:
        given = FitOptions.of_survey(given, bool(data.survey.columns.replicate_weights))
    if information is None:
        complete = not np.isnan(data.values).any()
        information = "expected" if complete and given["estimator"] != "MLR" else "observed"
    return FitOptions.make(information=information, **given)


def make_model(
    function, layout: Layout, data, patterns: dict[str, Any], equal, rule: str, options: FitOptions
) -> Model:
    known_rule: Identification = check("identification", rule, OPTIONS["identification"])
    _check_patterns(layout, patterns)
    equal = check("equal", equal, OPTIONS["equal"])
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
        if name in known:
            block, kind = known[name]
            where = LEVELS[block.level]
            part = {"zeta_": "_latent", "epsilon_": "_residual", "": ""}[block.part]
            raise ModelError(
                f"{name} is not part of this model: {where}{part}={block.kind!r} is written with {block.core}"
                f"{' and ' + block.scale if block.scale else ''}. For {name} use {where}{part}={kind!r}."
            )
        near = nearest(name, [*layout.matrices, *_FIT_OPTIONS, *_NAMED])
        raise ModelError(
            f"There is no argument {name!r}.{near or f' Its patterns are {listing(layout.matrices, 12)}.'}"
        )
