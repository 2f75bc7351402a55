"""Where the rows of a lavaan-style parameter table live in the model matrices.

Latent variables are members of eta, and of the observed variables of a level those that a regression involves or that covary
with a member; among the members, loadings and regressions are elements of B, variances and covariances of Psi, and Lambda
selects the observed ones (the reticular action model, McArdle & McDonald 1984). The other observed variables are measured in
the ordinary way: loadings in Lambda, intercepts in nu, residual covariances in Theta. Small matrices are cheap ones: a factor
model has as many members as factors, a level without latent variables and regressions none, and is linear in its parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from mlsem_jax._errors import ModelError
from mlsem_jax.models._remembered import remembered
from mlsem_jax.models._specification import Cell, Parameter, Specification


@remembered
def members(specification: Specification, level: int) -> tuple[str, ...]:
    """The members of eta of a level: what the level says, otherwise observed variables that paths involve, then latent ones.

    With random slopes, whose targets and values are members, all observed variables are.
    """
    block = specification.level(level)
    if block.structural is not None:
        return block.structural
    latent = tuple(name for name in block.latent if name not in block.observed)
    if specification.slopes:
        return block.observed + latent
    rows = [row for row in specification.parameters if row.level == level]
    inside = {*latent, *(name for row in rows if row.op == "~" for name in (row.lhs, row.rhs))}
    inside |= {row.lhs for row in rows if row.op == "=~"}
    pairs = [(row.lhs, row.rhs) for row in rows if row.op == "~~" and row.lhs != row.rhs]
    before = -1
    while len(inside) > before:
        before = len(inside)
        inside |= {name for pair in pairs if inside & {*pair} for name in pair}
    return tuple(name for name in block.observed if name in inside) + latent


def width(specification: Specification, level: int) -> int:
    """Length of eta: its members, rounded up to a multiple of 4 by members that do nothing where nothing says what eta is.

    So most changes of a model leave the dimensions, and with them the compiled programs, as they are.
    """
    count = len(members(specification, level))
    given = specification.level(level).structural is not None or bool(specification.slopes)
    return count if given else -(-count // 4) * 4


def cells(specification: Specification, level: int) -> Callable[[Parameter], Cell]:
    """The matrix element that a row of the table fills, as a function of rows of this level."""
    block = specification.level(level)
    member_of = {name: i for i, name in enumerate(members(specification, level))}
    row_of = {name: i for i, name in enumerate(specification.variables) if name in block.observed}

    def cell(row: Parameter) -> Cell:
        if row.op == "|":
            return Cell("tau", specification.variables.index(row.lhs), int(row.rhs[1:]) - 1)
        if row.op == "~*~":
            return Cell("delta", specification.variables.index(row.lhs))
        for name in (row.lhs, row.rhs) if row.op != "~1" else (row.lhs,):
            if name not in member_of and name not in row_of:
                raise ModelError(f"{row.lhs} {row.op} {row.rhs}: {name!r} is no variable of level {row.level}.")
        if row.op == "~1":
            return Cell("alpha", member_of[row.lhs]) if row.lhs in member_of else Cell("nu", row_of[row.lhs])
        if row.op == "=~":
            left, right = row.lhs, row.rhs
            return (
                Cell("beta", member_of[right], member_of[left])
                if right in member_of
                else Cell("lambda", row_of[right], member_of[left])
            )
        if row.op == "~":
            return Cell("beta", member_of[row.lhs], member_of[row.rhs])
        if row.op == "~~":
            at = member_of if row.lhs in member_of else row_of
            one, other = at[row.lhs], at[row.rhs]
            return Cell("psi" if at is member_of else "theta", max(one, other), min(one, other))
        raise ModelError(f"{row.lhs} {row.op} {row.rhs}: no such operator in a model.")

    return cell


@remembered
def place(specification: Specification) -> Specification:
    """The same specification with a cell in every row. At a level that says what its members are, rows that have one keep it."""
    cell = {level: cells(specification, level) for level in specification.numbers}
    given = {level: specification.level(level).structural is not None for level in specification.numbers}
    rows = tuple(
        row if row.cell is not None and given[row.level] else row.but(cell=cell[row.level](row))
        for row in specification.parameters
    )
    return specification.but(parameters=rows)
