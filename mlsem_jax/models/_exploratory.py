"""Blocks of factors that are rotated: what a specification says of them, and the same model with the rotation left out.

A block of m factors is identified up to an invertible matrix of m x m. The rotated solution is the one at which a criterion is
stationary; the unrotated one, which has the same likelihood, has uncorrelated factors and zeros above the diagonal of its
loadings, so that it is an ordinary model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlsem_jax.models._specification import Parameter, Specification

ROTATIONS = ("geomin", "oblimin", "varimax", "target")


@dataclass(frozen=True)
class Rotation:
    """criterion: one of ROTATIONS. orthogonal: factors stay uncorrelated. epsilon: of geomin; gamma: of oblimin. kaiser: rows are
    divided by the roots of their communalities. target (p, m): NaN for cells that are not specified. starts: random ones, drawn
    from seed.
    """

    criterion: str = "geomin"
    orthogonal: bool = False
    epsilon: float = 0.001
    gamma: float = 0.0
    kaiser: bool = False
    target: tuple[tuple[float, ...], ...] | None = None
    starts: int = 30
    seed: int = 1


@dataclass(frozen=True)
class ExploratoryBlock:
    """Factors of one level and group (from 1) that are measured by the same items, all loadings free."""

    name: str
    level: int
    group: int
    factors: tuple[str, ...]
    items: tuple[str, ...]
    rotation: Rotation

    @property
    def conditions(self) -> int:
        """How many equations say that the criterion is stationary."""
        m = len(self.factors)
        return m * (m - 1) // (2 if self.rotation.orthogonal else 1)

    def has(self, row: Parameter) -> bool:
        """Whether a row of the table is a loading, variance or covariance of the block."""
        if (row.level, row.group) != (self.level, self.group) or row.lhs not in self.factors:
            return False
        return row.op == "=~" or (row.op == "~~" and row.rhs in self.factors)


def unrotated(specification: Specification) -> Specification:
    """The same model with uncorrelated factors and zeros above the diagonal of the loadings of every block."""
    if not specification.blocks:
        return specification

    def plain(row: Parameter) -> Parameter:
        block = next((b for b in specification.blocks if b.has(row)), None)
        if block is None:
            return row
        if row.op == "~~":
            return row.but(free=False, value=float(row.lhs == row.rhs), start=None)
        if row.rhs in block.items and block.items.index(row.rhs) < block.factors.index(row.lhs):
            return row.but(free=False, value=0.0, start=None)
        return row.but(start=None)

    return specification.but(parameters=tuple(map(plain, specification.parameters)), blocks=())
