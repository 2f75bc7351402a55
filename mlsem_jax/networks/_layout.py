"""The matrices of a network model under psychonetrics' names, and the cells of the model's own matrices that they fill.

This is the one place that knows both. Matrices of a two-level latent variable model (Epskamp, Rhemtulla & Borsboom 2017 at
both levels): nu, nu_eta, lambda, and at each level beta and the covariance matrices of latent variables (zeta) and residuals
(epsilon). Of a model of observed variables: mu and one covariance matrix a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.models import Cell, CovarianceKind, Kind, MatrixName, kind_named

Shape = Literal["full", "column", "lower", "strict", "diagonal"]
LEVELS = {1: "within", 2: "between"}


@dataclass(frozen=True)
class Block:
    """One covariance matrix of the model. part: 'zeta_' latent, 'epsilon_' residual, '' the only one of its level."""

    part: str
    level: int
    kind: Kind
    matrix: Literal["psi", "theta"]
    names: tuple[str, ...]

    @property
    def suffix(self) -> str:
        return f"_{self.part}{LEVELS[self.level]}"

    @property
    def record(self) -> CovarianceKind:
        """What the library knows of the kind."""
        return kind_named(self.kind)

    @property
    def core(self) -> str:
        return self.record.core + self.suffix

    @property
    def scale(self) -> str | None:
        return None if self.record.scale is None else self.record.scale + self.suffix


@dataclass(frozen=True)
class Matrix:
    """A matrix of psychonetrics'. cell: the model's matrix; levels: those that it fills; shape: which elements there are.
    operator: psychonetrics' sign; table_operator: the one in names of parameters, where it is another.
    """

    name: str
    cell: MatrixName
    levels: tuple[int, ...]
    shape: Shape
    rows: tuple[str, ...]
    cols: tuple[str, ...]
    operator: str
    block: Block | None = None
    table_operator: str = ""

    @property
    def by_triangle(self) -> bool:
        """Read from its lower triangle: symmetric or lower triangular."""
        return self.shape in ("lower", "strict")

    @property
    def symmetric(self) -> bool:
        """Filled in both triangles."""
        return self.by_triangle and (self.block is None or self.block.record.symmetric)

    @property
    def is_core(self) -> bool:
        return self.block is not None and self.name == self.block.core

    @cached_property
    def positions(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the elements, column by column, counted from 0."""
        p, q = len(self.rows), max(len(self.cols), 1)
        inside = {
            "full": lambda i, j: True,
            "column": lambda i, j: True,
            "lower": lambda i, j: i >= j,
            "strict": lambda i, j: i > j,
            "diagonal": lambda i, j: i == j,
        }[self.shape]
        return tuple((i, j) for j in range(q) for i in range(p) if inside(i, j))

    def at(self, row: int, col: int) -> Cell:
        """The cell of the model's matrix that an element fills."""
        vector = self.shape in ("column", "diagonal")
        return Cell(self.cell, row) if vector else Cell(self.cell, row, col)


@dataclass(frozen=True)
class Layout:
    """Variables and matrices of a model. latents: by level, empty where there are none.

    loadings: 'shared' by the levels, 'by level', or 'none', where the variables themselves take the place of the latent ones.
    """

    family: Literal["lvm", "varcov"]
    variables: tuple[str, ...]
    latents: tuple[tuple[str, ...], tuple[str, ...]]
    blocks: tuple[Block, ...]
    loadings: Literal["shared", "by level", "none"]
    within_only: tuple[str, ...] = ()
    between_only: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def ngroups(self) -> int:
        return max(len(self.groups), 1)

    @property
    def group_names(self) -> tuple[str, ...]:
        return self.groups or ("fullsample",)

    def absent(self, level: int) -> tuple[str, ...]:
        """The observed variables that a level does not have."""
        return self.between_only if level == 1 else self.within_only

    @cached_property
    def matrices(self) -> dict[str, Matrix]:
        """All matrices of the model by name, in psychonetrics' order."""
        found = [Matrix("mu" if self.family == "varcov" else "nu", "nu", (2,), "column", self.variables, (), "~1")]
        if self.family == "lvm":
            found.append(Matrix("nu_eta", "alpha", (2,), "column", self.latents[1], (), "~1"))
            if self.loadings == "by level":
                for level, where in LEVELS.items():
                    name = f"lambda_{where}"
                    found.append(
                        Matrix(name, "lambda", (level,), "full", self.variables, self.latents[level - 1], "~=")
                    )
            else:
                found.append(Matrix("lambda", "lambda", (1, 2), "full", self.variables, self.latents[0], "~="))
        for level, where in LEVELS.items():
            if self.family == "lvm":
                names = self.latents[level - 1]
                found.append(Matrix(f"beta_{where}", "beta", (level,), "full", names, names, "<-"))
            for block in (b for b in self.blocks if b.level == level):
                found += _of_block(block)
        return {matrix.name: matrix for matrix in found}

    def matrix(self, name: str) -> Matrix:
        """The matrix called `name`. Raises ModelError that lists those of the model."""
        if name not in self.matrices:
            raise ModelError(
                f"{name!r} is no matrix of this model.{nearest(name, self.matrices)} Its matrices are "
                f"{listing(self.matrices, 12)}."
            )
        return self.matrices[name]

    def block(self, level: int, part: str = "") -> Block:
        return next(b for b in self.blocks if b.level == level and b.part == part)


def _of_block(block: Block) -> list[Matrix]:
    kind, names, levels = block.record, block.names, (block.level,)
    shape: Shape = "lower" if kind.scale is None else "strict"
    core = Matrix(block.core, block.matrix, levels, shape, names, names, kind.sign, block, kind.table_operator)
    if block.scale is None:
        return [core]
    cell: MatrixName = "psi_scale" if block.matrix == "psi" else "theta_scale"
    return [core, Matrix(block.scale, cell, levels, "diagonal", names, names, kind.scale_operator, block)]
