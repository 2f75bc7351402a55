"""Parameters that a model fixes or leaves out and that could be freed: the candidates for modification indices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations_with_replacement

from mlsem_jax.estimation import exogenous
from mlsem_jax.models import Parameter, Specification, remembered


@remembered
def candidates(specification: Specification) -> tuple[Parameter, ...]:
    """Fixed rows of the table (moments of fixed covariates aside), then absent parameters, by group and level.

    Absent ones: loadings of every factor on the observed variables that no regression involves, covariances among the
    observed variables that are no covariates and among the factors, regressions among the variables that regressions
    involve, intercepts. A model in psychonetrics' layout is left to its own front end, which knows its matrices.
    """
    out = [row for row in specification.parameters if not row.free and not row.exo and not row.follows]
    for group in range(1, specification.ngroups + 1):
        for level in specification.numbers:
            out.extend(_absent(specification.group(group), level, group))
    return tuple(out)


def _absent(specification: Specification, level: int, group: int) -> Iterator[Parameter]:
    """Of one level of a group; specification: the group's own."""
    rows = [row for row in specification.parameters if (row.level, row.group) == (level, group)]
    taken = {_key(row.lhs, row.op, row.rhs) for row in rows}
    block = specification.level(level)
    names = {*block.observed, *block.latent} if block.structural is None else {*block.structural}
    for lhs, op, rhs in _possible(specification, level, rows):
        if _key(lhs, op, rhs) not in taken and lhs in names and (op == "~1" or rhs in names):
            yield Parameter(lhs, op, rhs, level, group, value=0.0, free=False, user=0)


def _possible(specification: Specification, level: int, rows: list[Parameter]) -> Iterable[tuple[str, str, str]]:
    block = specification.level(level)
    factors = tuple(dict.fromkeys(row.lhs for row in rows if row.op == "=~"))
    loads = {(row.lhs, row.rhs) for row in rows if row.op == "=~"}
    involved = tuple(dict.fromkeys(name for row in rows if row.op == "~" for name in (row.lhs, row.rhs)))
    outside = {*block.covariates, *exogenous(specification, level)}
    moving = [v for v in block.observed if v not in outside]
    yield from ((factor, "=~", v) for factor in factors for v in moving if v not in involved)
    yield from ((a, "~~", b) for names in (moving, block.latent) for a, b in combinations_with_replacement(names, 2))
    for effect in involved:
        for cause in involved:
            # a loading written backwards, or a factor explained by its own indicator, is no regression
            if effect != cause and effect not in block.covariates and not loads & {(cause, effect), (effect, cause)}:
                yield effect, "~", cause
    if specification.means:
        yield from ((v, "~1", "") for v in (*moving, *block.latent))


def _key(lhs: str, op: str, rhs: str) -> tuple[str, str, str]:
    """One spelling of a parameter: covariances in either order, a loading as the regression that it is."""
    if op == "=~":
        return rhs, "~", lhs
    return (min(lhs, rhs), max(lhs, rhs), op) if op == "~~" else (lhs, op, rhs)
