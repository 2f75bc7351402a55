"""From model text, a table and options to a fit: what the fronts that read text share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from mlsem_jax._errors import ModelError, ModelWarning, listing, nearest
from mlsem_jax._origin import Origin
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
from mlsem_jax.estimation import FitOptions, estimate_model, fit_warnings, own_roles
from mlsem_jax.fits import Fit
from mlsem_jax.fronts._limited_defaults import check_ordered, row_treatment, with_estimator
from mlsem_jax.fronts._pool import fit_each
from mlsem_jax.fronts._start import check_bounds, read_start
from mlsem_jax.measurement import exploratory_start, rotated
from mlsem_jax.models import Specification, unrotated
from mlsem_jax.numerics import outside_level
from mlsem_jax.options import read_options, unknown_option
from mlsem_jax.report import notice_if_slow, progress
from mlsem_jax.syntax import Syntax, SyntaxOptions, endogenous, read_model, specify

Function = Literal["sem", "cfa", "growth", "lavaan", "efa", "sam"]
# model text, and data sets that are fitted each and pooled
Text = str | Sequence[str]
Several = list[Any] | tuple[Any, ...]

_SURVEY = tuple(f.name for f in fields(SurveyColumns))
_DATA_OPTIONS = ("group_label", *_SURVEY)
# options of lavaan's that its users may type, and what to do instead
ELSEWHERE = {
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
                name, syntax | fit | {*_DATA_OPTIONS, "cluster", "group", "plausible_values"}, ELSEWHERE
            )
    return (
        SyntaxOptions.for_function(
            "sem" if function == "efa" or function == "sam" else function,
            **{k: v for k, v in options.items() if k in syntax},
        ),
        FitOptions.make(**{k: v for k, v in options.items() if k in fit}),
        read_options({k: v for k, v in options.items() if k in _DATA_OPTIONS}),
    )


def labels_of_groups(data: Any, group: str | None, group_label: Any) -> tuple[str, ...]:
    """The groups that are fitted, in their order: those that are named, or all of the column."""
    if group is None:
        return ()
    return group_labels(data, group) if group_label is None else tuple(str(label) for label in group_label)


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
    syntax_options = with_means(syntax_options, parsed, cluster, missing)
    labels = labels_of_groups(data, group, group_label)
    columns, told = ordered_columns(parsed, data, syntax_options.ordered)
    specification = specify(
        parsed,
        options=syntax_options,
        data_variables=column_names(data),
        group_labels=labels,
        categories={name: len(column.categories) for name, column in columns.items()},
        unit=unit,
    )
    prepared = prepare_for(
        specification,
        data,
        columns,
        cluster=cluster,
        group=group,
        missing=missing,
        group_label=group_label,
        survey=survey,
    )
    return specification, replace(prepared, warnings=(*told, *prepared.warnings)) if told else prepared


def prepare_for(
    specification: Specification, data: Any, columns: dict[str, OrderedColumn], **more: Any
) -> TwoLevelData:
    """`prepare` with the variables of a specification. columns: the ordered ones that the table has; more: its other arguments."""
    responses = {v.name for v in specification.ordered}
    return prepare(
        data,
        within=specification.within.observed,
        between=specification.between.observed,
        covariates_within=specification.within.covariates,
        covariates_between=specification.between.covariates,
        own=own_roles(specification),
        single=specification.single,
        ordered={name: column for name, column in columns.items() if name in responses},
        **more,
    )


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
    _check_rotation(specification, fit_options)
    if adapt is not None:
        specification = adapt(specification)
    check_bounds(fit_options.bounds, specification)
    start = read_start(fit_options.start, unrotated(specification))
    told = (*specification.warnings, *prepared.warnings, *notes)
    return Asked(parsed, specification, prepared, replace(fit_options, start=start), told)


def _check_rotation(specification: Specification, options: FitOptions) -> None:
    """**Raises:** ModelError for factors to be rotated under a likelihood that is an integral over them."""
    if specification.ordered and not options.limited and any(len(block.factors) > 1 for block in specification.blocks):
        raise ModelError(
            f"efa() blocks of ordered variables are not rotated with estimator={options.estimator!r}: the nodes of the integral "
            "lie along the factors, and rotated factors have another likelihood, beyond rounding. Leave estimator= out (WLSMV)."
        )


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
    with nullcontext() if fit_options.verbose else notice_if_slow():
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
    origin = Origin(_again, function, adapt, model, data, cluster, group, options)
    return Fit(estimation, text=asked.parsed.text, function=function, warnings=sentences, origin=origin)


def _again(origin: Origin) -> Any:
    """The fit that a call asks for."""
    function: Any = origin.function
    return fit_text(function, origin.model, origin.data, origin.cluster, origin.group, origin.options, origin.adapt)
