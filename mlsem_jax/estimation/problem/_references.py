"""The two models that every fit is held against: the saturated model h1 and the independence baseline.

Both are ordinary specifications, so they go through the same likelihood and, having the same dimensions, the same compiled
programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.models import Cell, Kind, Level, Parameter, Specification, remembered

if TYPE_CHECKING:
    from mlsem_jax.data import TwoLevelData


def exogenous(specification: Specification, level: int) -> tuple[str, ...]:
    """Observed variables of a level, in one group (`Specification.group`), that explain others and are not explained: covariates,
    fixed or random.
    """
    rows = [row for row in specification.parameters if row.level == level]
    explained = {row.lhs for row in rows if row.op == "~"} | {row.rhs for row in rows if row.op == "=~"}
    explaining = {row.rhs for row in rows if row.op == "~"}
    return tuple(v for v in specification.level(level).observed if v in explaining and v not in explained)


def covariates_of_baseline(specification: Specification, level: int) -> tuple[str, ...]:
    """The exogenous covariates that keep their covariances in the baseline: those whose moments the text leaves alone.

    Where it writes a variance, a covariance or a mean of one (ses ~~ girl) that one is a variable of the model like an
    outcome, which in the baseline covaries with nothing, as in lavaan.
    """
    written = {
        name
        for row in specification.parameters
        if row.level == level and row.op in ("~~", "~1") and row.user and not row.exo
        for name in (row.lhs, row.rhs)
    }
    return tuple(v for v in exogenous(specification, level) if v not in written)


def held(specification: Specification, level: int) -> tuple[str, ...]:
    """Fixed covariates of a level that exist at this level alone, in one group: their moments are sample moments."""
    alone = specification.within_only if level == 1 else specification.between_only
    return tuple(v for v in specification.level(level).covariates if v in alone)


def covariates_of(specification: Specification, level: int) -> tuple[str, ...]:
    """The fixed covariates of a level, in one group."""
    return specification.level(level).covariates


def observed_of(specification: Specification, level: int) -> tuple[str, ...]:
    """The observed variables of a level, in one group."""
    return specification.level(level).observed


def split_covariates(specification: Specification) -> bool:
    """Whether a fixed covariate exists at both levels of a group, so that its moments are the unrestricted model's."""
    groups = (specification.group(g) for g in range(1, specification.ngroups + 1))
    return any(set(one.level(lv).covariates) - set(held(one, lv)) for one in groups for lv in one.numbers)


def unstructured(
    specification: Specification,
    related: Callable[[Specification, int], tuple[str, ...]],
    fixed: Callable[[Specification, int], tuple[str, ...]],
) -> Specification:
    """A model without structure: free variances and means, and the covariances of the variables that are related.

    related(group, level): the variables that covary with one another. fixed(group, level): those whose moments among themselves
    are held at the data's. Both are asked of every group's own model.
    """
    parameters: list[Parameter] = []
    for group in range(1, specification.ngroups + 1):
        one = specification.group(group)
        for level in specification.numbers:
            parameters += _unstructured_rows(
                specification.variables, one, group, level, set(related(one, level)), set(fixed(one, level))
            )
    # where the model has the switch between kinds, so does this: models of the same dimensions then share programs
    kind: Kind | None = None if specification.within.theta_kind is None else "cov"
    within, between = (
        Level(level.observed, structural=(), psi_kind=kind, theta_kind=kind) if level.present else level
        for level in (specification.within, specification.between)
    )
    return Specification(within, between, tuple(parameters), groups=specification.groups, means=specification.means)


def _unstructured_rows(
    variables: tuple[str, ...],
    one: Specification,
    group: int,
    level: int,
    related: set[str],
    keep: set[str],
) -> Iterator[Parameter]:
    """The rows of one level of a group. variables: of all groups, whose order the matrices have."""
    names = one.level(level).observed
    for i, a in enumerate(names):
        for b in names[i:]:
            exo = a in keep and b in keep
            if exo or a == b or (a in related and b in related):
                row, col = sorted((variables.index(a), variables.index(b)), reverse=True)
                cell = Cell("theta", row, col)
                yield Parameter(a, "~~", b, level, group, free=not exo, exo=exo, cell=cell)
    for name in names if one.means else ():
        if level == 1 and name not in one.within_only:
            continue
        exo = name in keep
        cell = Cell("nu", variables.index(name))
        yield Parameter(name, "~1", "", level, group, free=not exo, exo=exo, cell=cell)


@remembered
def saturated(specification: Specification) -> Specification:
    """h1: all covariances and means of both levels free, but the moments of covariates that are sample moments."""
    return unstructured(specification, observed_of, held)


@remembered
def saturated_given_covariates(specification: Specification) -> Specification:
    """The same with the moments of covariates of both levels held too, at a model's: what it is compared with in data that are not
    those it was made with, where they are neither the model's nor free.
    """
    return unstructured(specification, observed_of, covariates_of)


@remembered
def independence(specification: Specification) -> Specification:
    """The baseline: no covariances at either level but among covariates whose moments the text leaves alone; those are fixed
    where the model fixes them.
    """
    return unstructured(specification, covariates_of_baseline, covariates_of)


def moments_of_data(specification: Specification) -> int:
    """Number of moments of the unrestricted model that are not moments of fixed covariates: df is this less npar."""
    total = 0
    for one in (specification.group(g) for g in range(1, specification.ngroups + 1)):
        for level in one.numbers:
            block = one.level(level)
            p, c = len(block.observed), len(block.covariates)
            total += p * (p + 1) // 2 - c * (c + 1) // 2
            means = block.observed if level == 2 else one.within_only
            total += sum(v not in block.covariates for v in means) if one.means else 0
    return total


def rows_suffice(specification: Specification, data: TwoLevelData) -> tuple[bool, tuple[str, ...]]:
    """Whether the unrestricted likelihood of one level has a maximum: each group needs more rows than variables. Where not, a
    sentence for the user.
    """
    count = np.bincount(data.group[data.cluster], minlength=data.ngroups)
    variables = np.array([len(specification.group(g).variables) for g in range(1, specification.ngroups + 1)])
    worst = int((count - variables).argmin())
    if count[worst] > variables[worst]:
        return True, ()
    where = f" in group {data.group_labels[worst]}" if data.group_labels else ""
    return False, (
        f"There are {count[worst]} rows{where} but {variables[worst]} variables: the unrestricted model has no maximum likelihood, "
        "so chi-square and fit indices do not exist. Take variables out of the model or collect more rows.",
    )
