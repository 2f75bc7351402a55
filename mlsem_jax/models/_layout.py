"""Where the rows of a lavaan-style parameter table live in the model matrices.

Every observed variable of a level is a member of eta there, after which the model is the reticular action model (McArdle &
McDonald 1984): Lambda selects the observed members, Theta is zero, loadings and regressions are elements of B, all variances
and covariances elements of Psi. So any path can be freed (modification indices) without changing the layout.
"""

from __future__ import annotations

from mlsem_jax._errors import ModelError
from mlsem_jax.models._specification import Cell, Parameter, Specification


def members(specification: Specification, level: int) -> tuple[str, ...]:
    """The members of eta of a level: what the level says, otherwise its observed variables, then its latent ones."""
    block = specification.level(level)
    if block.structural is not None:
        return block.structural
    return block.observed + tuple(name for name in block.latent if name not in block.observed)


def cell(specification: Specification, row: Parameter) -> Cell:
    """The matrix element that a row of the table fills."""
    place = {name: i for i, name in enumerate(members(specification, row.level))}
    for name in (row.lhs, row.rhs) if row.op != "~1" else (row.lhs,):
        if name not in place:
            raise ModelError(f"{row.lhs} {row.op} {row.rhs}: {name!r} is no variable of level {row.level}.")
    if row.op == "~1":
        return Cell("alpha", place[row.lhs])
    left, right = place[row.lhs], place[row.rhs]
    if row.op == "=~":
        return Cell("beta", right, left)
    if row.op == "~":
        return Cell("beta", left, right)
    if row.op == "~~":
        return Cell("psi", max(left, right), min(left, right))
    raise ModelError(f"{row.lhs} {row.op} {row.rhs}: no such operator in a two-level model.")


def place(specification: Specification) -> Specification:
    """The same specification with a cell in every row; rows that have one keep it."""
    rows = tuple(
        row if row.cell is not None else row.but(cell=cell(specification, row)) for row in specification.parameters
    )
    return specification.but(parameters=rows)
