"""Whether fits are of one model, each of another imputation, so that they may be pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlsem_jax._errors import ModelError, listing
from mlsem_jax.estimation import Estimation
from mlsem_jax.models import Parameter

# options that decide what the numbers of a fit mean
_ALIKE = ("estimator", "missing", "se", "test", "information")


def check_poolable(estimations: Mapping[str, Estimation]) -> tuple[str, ...]:
    """Sentences about what a user should know. Raises ModelError where the fits are not of the same model and groups."""
    (first, one), *others = estimations.items()
    for name, other in others:
        reason = difference_of_models(one, other, first, name)
        if reason:
            raise ModelError(f"{reason} Fits that are pooled are of the same model, each of another imputation.")
    return _sizes(estimations)


def difference_of_models(one: Estimation, other: Estimation, first: str, name: str) -> str:
    """A sentence about what makes the parameters of two fits not the same; '' where nothing does."""
    a, b = one.model.build.specification, other.model.build.specification
    if a.groups != b.groups or one.data.group_labels != other.data.group_labels:
        said = [f"groups {listing(e.data.group_labels)}" if e.data.group_labels else "one group" for e in (one, other)]
        return f"{first} is of {said[0]}, and {name} of {said[1]}. Groups and their order are chosen with group_label=."
    if a.single != b.single:
        return f"{first} and {name} are models of a different number of levels."
    mine, yours = ({_key(row): row for row in s.parameters} for s in (a, b))
    for has, lacks, rows in ((first, name, mine.keys() - yours.keys()), (name, first, yours.keys() - mine.keys())):
        if rows:
            known = mine if has == first else yours
            said_rows = listing(_named(known[key]) for key in known if key in rows)
            return f"{lacks} has other parameters than {has}, which alone has {said_rows}."
    for key, row in mine.items():
        if (row.free, row.value, row.exo) != (yours[key].free, yours[key].value, yours[key].exo):
            kinds = [
                "free" if r.free else "the data's" if r.value is None else f"fixed at {r.value:g}"
                for r in (row, yours[key])
            ]
            return f"{_named(row)} is {kinds[0]} in {first} and {kinds[1]} in {name}."
    if one.model.build.names != other.model.build.names or [c.text for c in a.constraints] != [
        c.text for c in b.constraints
    ]:
        return f"{first} and {name} have other labels or constraints, so that other parameters are equal."
    if [d.text for d in a.definitions] != [d.text for d in b.definitions]:
        return f"{first} and {name} define other quantities with ':='."
    for option in _ALIKE:
        x, y = getattr(one.options, option), getattr(other.options, option)
        if x != y:
            return f"{first} has {option}={x!r}, and {name} {option}={y!r}."
    designs = [None if e.data.survey is None else e.data.survey.columns for e in (one, other)]
    if designs[0] != designs[1]:
        return f"{first} and {name} have other weights, strata or replicate weights, or scale them otherwise."
    return ""


def _key(row: Parameter) -> tuple:
    sides = sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)
    return (row.op, *sides, row.level, row.group)


def _named(row: Parameter) -> str:
    return replace(row, label="").name


def _sizes(estimations: Mapping[str, Estimation]) -> tuple[str, ...]:
    """What differs in the numbers of rows and clusters, which the imputations of one data set share."""
    told = []
    rows = [e.data.nrows for e in estimations.values()]
    if min(rows) != max(rows):
        told.append(
            f"The fits are of {min(rows)} to {max(rows)} rows: imputations of one data set have the same rows. Were incomplete "
            "rows left, and dropped?"
        )
    clusters = [e.data.nclusters if e.data.clustered else 0 for e in estimations.values()]
    if min(clusters) != max(clusters):
        told.append(f"The fits are of {min(clusters)} to {max(clusters)} clusters.")
    return tuple(told)
