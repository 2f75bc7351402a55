"""The lavaan-style front end: model text and a table in, a Fit out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, overload

from mlsem_jax._errors import ModelError, ModelWarning, listing, nearest
from mlsem_jax._fit import Fit
from mlsem_jax._limited_defaults import check_ordered, row_treatment, with_estimator
from mlsem_jax._options import read_options, unknown_option
from mlsem_jax._pool import fit_each
from mlsem_jax._pooled_fit import PooledFit
from mlsem_jax._start import check_bounds, read_start
from mlsem_jax.data import (
    OrderedColumn,
    SurveyColumns,
    TwoLevelData,
    column_names,
    group_labels,
    missing_option,
    prepare,
    read_ordered,
    several,
)
from mlsem_jax.estimation import FitOptions, estimate_model, fit_warnings
from mlsem_jax.measurement import exploratory_start, rotated
from mlsem_jax.models import Specification, unrotated
from mlsem_jax.numerics import outside_level
from mlsem_jax.report import progress
from mlsem_jax.syntax import Syntax, SyntaxOptions, endogenous, read_model, specify

Function = Literal["sem", "cfa", "growth", "lavaan", "efa", "sam"]
# model text, and data sets that are fitted each and pooled
Text = str | Sequence[str]
Several = list[Any] | tuple[Any, ...]

_SURVEY = tuple(f.name for f in fields(SurveyColumns))
_DATA_OPTIONS = ("group_label", *_SURVEY)
# options of lavaan's that its users may type, and what to do instead
_ELSEWHERE = {
    "weights": "It is called sampling_weights here (sampling_weights_between for clusters).",
    "plausible_values": "It belongs to ml.sem and its kin, which fit the model with each of them: make one table of each.",
    "only_converged": "It is about several imputations: give their data sets in a list.",
    "clusters": "It is called cluster here.",
    "groups": "It is called group here.",
    "level": "Levels are written in the model: 'level: 1' and 'level: 2'.",
    "conditional_x": "Leave it out: with fixed_x=True the covariates are conditioned on already.",
    "std_ov": "Standardise the columns of the data frame before the fit.",
    "likelihood": "Models are fitted by maximum likelihood with N as the divisor.",
    "rstarts": "Leave it out: other starting values are tried where the first ones fail.",
    "correlation": "Standardised estimates are those of fit.standardized_solution().",
    "sample_cov": "Pass the rows, a data frame, as data.",
    "sample_nobs": "Pass the rows, a data frame, as data.",
    "representation": "Leave it out.",
    "mimic": "Leave it out.",
    "integration_ngh": "It is called integration_points here.",
}


_BY_CLUSTERS = (
    "se='robust.huber.white' goes by clusters here, as 'robust.cluster' does, because cluster= is given; leave cluster= out for "
    "standard errors that go by rows."
)


def split_options(function: Function, options: dict[str, Any]) -> tuple[SyntaxOptions, FitOptions, dict[str, Any]]:
    """A user's keywords as options of the model text, of the fit and of the data. Raises ModelError for unknown ones."""
    syntax = {f.name for f in fields(SyntaxOptions)}
    fit = {f.name for f in fields(FitOptions)}
    for name in options:
        if name not in syntax | fit | set(_DATA_OPTIONS):
            raise unknown_option(
                name, syntax | fit | {*_DATA_OPTIONS, "cluster", "group", "plausible_values"}, _ELSEWHERE
            )
    return (
        SyntaxOptions.for_function(
            "sem" if function == "efa" or function == "sam" else function,
            **{k: v for k, v in options.items() if k in syntax},
        ),
        FitOptions.make(**{k: v for k, v in options.items() if k in fit}),
        read_options({k: v for k, v in options.items() if k in _DATA_OPTIONS}),
    )


def specify_and_prepare(
    model: Any,
    data: Any,
    *,
    cluster: str | None,
    group: str | None = None,
    syntax_options: SyntaxOptions,
    missing: str = "listwise",
    group_label: Any = None,
    survey: SurveyColumns | None = None,
    unit: float = 1.0,
) -> tuple[Specification, TwoLevelData]:
    """The specification that a model text and a table make together, and the table as checked arrays.

    A text without level blocks is a model of one level, with or without clusters.
    """
    parsed = read_model(model, data)
    single = not parsed.has_levels
    syntax_options = with_means(syntax_options, parsed, cluster, missing)
    labels: tuple[str, ...] = () if group is None else group_labels(data, group)
    if group is not None and group_label is not None:
        labels = tuple(str(label) for label in group_label)
    columns, told = ordered_columns(parsed, data, syntax_options.ordered)
    specification = specify(
        parsed,
        options=syntax_options,
        data_variables=column_names(data),
        group_labels=labels,
        categories={name: len(column.categories) for name, column in columns.items()},
        unit=unit,
    )
    responses = {v.name for v in specification.ordered}
    prepared = prepare(
        data,
        cluster=cluster,
        group=group,
        within=specification.within.observed,
        between=specification.between.observed,
        covariates_within=specification.within.covariates,
        covariates_between=specification.between.covariates,
        missing=missing,
        group_label=group_label,
        single=single,
        survey=survey,
        ordered={name: column for name, column in columns.items() if name in responses},
    )
    return specification, replace(prepared, warnings=(*told, *prepared.warnings)) if told else prepared


def ordered_columns(
    parsed: Syntax, data: Any, ordered: bool | tuple[str, ...]
) -> tuple[dict[str, OrderedColumn], tuple[str, ...]]:
    """The ordered variables of a model as columns of categories, and sentences on them. ordered: names, or True for all that the
    model explains. Raises ModelError for a name that the data do not have, DataError where a column cannot be ordered.
    """
    if not ordered:
        return {}, ()
    known = column_names(data)
    names = endogenous(parsed, known) if isinstance(ordered, bool) else ordered
    for name in names:
        if name not in known:
            raise ModelError(f"ordered= names {name!r}, which is no column of the data.{nearest(name, known)}")
    return read_ordered(data, names)


def with_means(options: SyntaxOptions, parsed: Syntax, cluster: str | None, missing: str) -> SyntaxOptions:
    """Options of a text of one level, with a mean structure where the data ask for one: missing values, where means depend on the
    covariances, and clusters. What else asks for it is known with the text. Raises ModelError where it was ruled out.
    """
    if parsed.has_levels or options.meanstructure:
        return options
    if options.ordered:  # thresholds are means of a kind
        return replace(options, meanstructure=True)
    incomplete = missing_option(missing) == "ml"
    if options.meanstructure is False and incomplete:
        raise ModelError(
            "meanstructure=False cannot be had with missing='ml': where values are missing, means and covariances are estimated "
            "together. Leave one of the two out."
        )
    return (
        replace(options, meanstructure=True) if options.meanstructure is None and (cluster or incomplete) else options
    )


def survey_of(options: dict[str, Any], single: bool, where: str) -> SurveyColumns | None:
    """The weights and strata among a user's options where no model is fitted, None without any; ModelError for replicate weights,
    and for what does not go together.
    """
    given = {name: value for name, value in options.items() if name in _SURVEY and value is not None}
    if of_fits := [name for name in given if name in ("replicate_weights", "replicate_type", "fay")]:
        raise ModelError(f"{where} takes no replicate weights: leave {listing(of_fits)} out, and pass it to ml.sem.")
    survey = SurveyColumns.of(read_options(given))
    survey.check(single, given)
    return survey if survey.given else None


def refuse_ordered(options: SyntaxOptions, where: str) -> None:
    """ModelError for ordered variables where only fits take them."""
    if options.ordered:
        raise ModelError(
            f"{where} does not take ordered variables yet: leave ordered= out, or fit the model with ml.sem."
        )


def _with_design(
    function: Function, options: dict[str, Any], parsed: Syntax, clustered: bool
) -> tuple[SurveyColumns, dict[str, Any], tuple[str, ...]]:
    """The columns of the survey design; the options with the defaults that it, or one level, asks for; sentences on these."""
    survey = SurveyColumns.of(split_options(function, options)[2])
    survey.check(not parsed.has_levels, {k: v for k, v in options.items() if k in _SURVEY and v is not None})
    if survey.given:
        options = FitOptions.of_survey(options, bool(survey.replicate_weights))
    if not parsed.has_levels and not options.get("ordered"):
        asked, options = options.get("se"), FitOptions.of_one_level(options, clustered)
        if isinstance(asked, str) and asked.lower() == "robust.huber.white" and options["se"] == "robust.cluster":
            return survey, options, (_BY_CLUSTERS,)
    return survey, options, ()


@dataclass(frozen=True)
class Asked:
    """What a user asks to be fitted. specification: the model, with the data's columns and groups; told: sentences on both."""

    parsed: Syntax
    specification: Specification
    data: TwoLevelData
    options: FitOptions
    told: tuple[str, ...]


def read_text(
    function: Function,
    model: Text | Syntax,
    data: Any,
    cluster: str | None,
    group: str | None,
    options: dict[str, Any],
    adapt: Callable[[Specification], Specification] | None = None,
) -> Asked:
    """Model text, table and options, read and checked. adapt: changes the specification before anything is fitted."""
    given = {name: value for name, value in options.items() if name != "plausible_values"}
    options, defaulted = with_estimator(given)
    split_options(function, options)  # what is wrong with an option is told before what is wrong with the model
    parsed = read_model(model, data)
    survey, options, notes = _with_design(function, options, parsed, cluster is not None)
    syntax_options, fit_options, data_options = split_options(function, options)
    fit_options.check_clusters(not parsed.has_levels, cluster is not None)
    for name in ("group_equal", "group_partial", "group_label"):
        if group is None and (vars(syntax_options) | data_options).get(name):
            raise ModelError(f"{name}= is about groups, and there is one group: name their column with group=.")
    specification, prepared = specify_and_prepare(
        parsed,
        data,
        cluster=cluster,
        group=group,
        syntax_options=syntax_options,
        missing=row_treatment(fit_options.missing),
        group_label=data_options.get("group_label"),
        survey=survey,
        unit=fit_options.unit,
    )
    if defaulted and not specification.ordered:  # they are covariates, all of them
        rest = {name: value for name, value in given.items() if name != "ordered"}
        asked = read_text(function, parsed, data, cluster, group, rest, adapt)
        return replace(asked, told=(*specification.warnings, *asked.told))
    check_ordered(specification, prepared, fit_options)
    if adapt is not None:
        specification = adapt(specification)
    check_bounds(fit_options.bounds, specification)
    start = read_start(fit_options.start, unrotated(specification))
    told = (*specification.warnings, *prepared.warnings, *notes)
    return Asked(parsed, specification, prepared, replace(fit_options, start=start), told)


def fit_text(
    function: Function,
    model: Text | Syntax,
    data: Any,
    cluster: str | None,
    group: str | None,
    options: dict[str, Any],
    adapt: Callable[[Specification], Specification] | None = None,
) -> Any:
    """A Fit, or of several imputations a PooledFit. adapt: changes the specification before anything is fitted."""
    if options.get("plausible_values") is not None or several(data):
        return fit_each(lambda one, rest: fit_text(function, model, one, cluster, group, rest, adapt), data, options)
    asked = read_text(function, model, data, cluster, group, options, adapt)
    for sentence in asked.told:
        warnings.warn(sentence, ModelWarning, stacklevel=outside_level())
    specification, fit_options = asked.specification, asked.options
    blocks = specification.blocks
    estimation = estimate_model(
        unrotated(specification),
        asked.data,
        fit_options,
        start=exploratory_start(blocks) if blocks and fit_options.start == "default" else None,
        report=progress() if fit_options.verbose else None,
    )
    estimation = rotated(estimation, specification) if blocks else estimation
    raised = fit_warnings(estimation)
    for warning in raised:
        warnings.warn(warning, stacklevel=outside_level())
    sentences = (*asked.told, *(str(w) for w in raised))
    return Fit(estimation, text=asked.parsed.text, function=function, warnings=sentences)


@overload
def sem(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> PooledFit: ...
@overload
def sem(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Any,
) -> PooledFit: ...
@overload
def sem(
    model: Text, data: Mapping[Any, Any], cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def sem(model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any) -> Fit: ...
def sem(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a structural equation model of two levels, or of one, by exact maximum likelihood.

    **Arguments:**

    - `model`: lavaan model syntax; a text, or a list of texts read as its lines. With `level: 1` and `level: 2` blocks a two-level
      model, without them a model of one level.
    - `data`: a pandas DataFrame, or a table of polars, pyarrow or another library that offers the interchange or Arrow
      interface; one row per level-1 unit, in any order. Imputations of one data set: a list or a dictionary of such tables; every
      one is fitted, and the fits are pooled as by [`mlsem_jax.pool`][].
    - `cluster`: name of the column that identifies clusters (values of any type). A two-level model needs it; a model of one level
      has with it standard errors and a test that go by clusters, as lavaan has: A^-1 B A^-1 with B the sum over J clusters of outer
      products of scores times J / (J - 1).
    - `group`: name of a column of groups, in a two-level model constant within clusters.
    - `plausible_values`: names of variables in the model, each with the columns of the table that hold its plausible values,
      `{"math": ["PV1MATH", "PV2MATH", ...]}`: the model is fitted once with each and the fits are pooled. Several variables take
      their first columns together, then their second ones. `only_converged=True` leaves fits out that did not converge.
    - `options`: lavaan's, with `_` for `.`; see `mlsem_jax.estimation.FitOptions` and `mlsem_jax.syntax.SyntaxOptions`.
      `bounds`: "none", "pos.var" (no variance below zero), "pos.ov.var", "pos.lv.var" (those of observed or latent variables), or
      limits by parameter, `{"y1~~y1.l2": (0, None)}`. `start`: "default", "simple" (loadings and variances 1, the rest 0), a fit or
      a parameter table (`lhs op rhs`, `est` or `start`; what the models share is taken), or values by parameter,
      `{"f=~y2": 0.8}`, a dictionary or Series; start() in the model text wins.

    Ordered variables: `ordered=["u1", ...]` or True for all that the model explains. Behind each lies a normal latent response
    whose residual variance is 1 (theta parameterization), cut at thresholds, `u1 | t1 + t2`.

    - `estimator="WLSMV"` (default), "DWLS", "WLS", "ULSMV": thresholds and polychoric covariances of the data, found variable
      by variable and pair by pair, are fitted by weighted least squares (Muthen 1984; Asparouhov & Muthen 2007); WLSMV and
      ULSMV with sandwich standard errors (`se="robust.sem"`) and the mean-and-variance adjusted test (`test="scaled.shifted"`).
      With `missing="pairwise"` each variable and each pair uses the rows where it is seen.
    - `estimator="ML"`, "MLR": full information, with `link` "probit" or "logit", by integration over the latent variables;
      random slopes and `missing="ml"`.

    Surveys: `sampling_weights`, `sampling_weights_between` name the columns of weights of level-1 units (in two-level models
    given their cluster) and of clusters (constant within them), w and v. The pseudo-likelihood sum_j v_j log L_j is maximised, in
    which row i counts w_ij times (Rabe-Hesketh & Skrondal 2006; Asparouhov 2006).

    - `sampling_weights_scaling`: "cluster" (default; w sums to the rows of the cluster; Mplus CLUSTER, Stata size), "effective"
      (Mplus ECLUSTER) or "none"; v is scaled so that the products v w sum to the rows. One level has
      `sampling_weights_normalization`: "total" (default; weights sum to the rows), "group" or "none".
    - `strata`: a column of strata of clusters, or with one level and no clusters of rows; `lonely="adjust"` takes strata of one
      unit about the mean of all. With any of these, standard errors are A^-1 B A^-1 and the test is scaled (estimator MLR).
    - `replicate_weights`: a list of columns, with `replicate_type` "BRR", "Fay" (with `fay`, by default 0.5 as in PISA), "JK1",
      "JK2" or "bootstrap": standard errors are those of the refitted replicates about the full-sample estimate, and there is no
      test. A replicate column is one of the level-2 weight where it is constant within clusters, else of the level-1 weight.

    **Returns:** a [`mlsem_jax.Fit`][]; of several imputations or plausible values a [`mlsem_jax.PooledFit`][].

    **Raises:** ModelSyntaxError, ModelError, DataError, IdentificationError (all ValueError) before anything is fitted.
    """
    return fit_text("sem", model, data, cluster, group, options)


@overload
def cfa(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> PooledFit: ...
@overload
def cfa(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Any,
) -> PooledFit: ...
@overload
def cfa(
    model: Text, data: Mapping[Any, Any], cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def cfa(model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any) -> Fit: ...
def cfa(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a confirmatory factor model of two levels or one: `sem` with lavaan's defaults of `cfa`."""
    return fit_text("cfa", model, data, cluster, group, options)


@overload
def growth(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> PooledFit: ...
@overload
def growth(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Any,
) -> PooledFit: ...
@overload
def growth(
    model: Text, data: Mapping[Any, Any], cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def growth(model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any) -> Fit: ...
def growth(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a growth curve model of two levels or one: `sem` with observed intercepts at 0 and latent means free."""
    return fit_text("growth", model, data, cluster, group, options)


@overload
def lavaan(
    model: Text, data: Several, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> PooledFit: ...
@overload
def lavaan(
    model: Text,
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    plausible_values: Mapping[str, Sequence[str]],
    **options: Any,
) -> PooledFit: ...
@overload
def lavaan(
    model: Text, data: Mapping[Any, Any], cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit: ...  # of arrays it is one table, of tables it is several
@overload
def lavaan(model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any) -> Fit: ...
def lavaan(
    model: Text, data: Any, cluster: str | None = None, *, group: str | None = None, **options: Any
) -> Fit | PooledFit:
    """Fit a model of two levels or one exactly as written: no parameter is added by default."""
    return fit_text("lavaan", model, data, cluster, group, options)
