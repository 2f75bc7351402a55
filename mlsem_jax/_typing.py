"""The one glossary of axes. Shapes in docstrings and annotations use these letters and no others.

====== ==============================================================================================
G      groups
p      observed variables of the model, at any level, in one fixed order shared by both levels
m      members of the structural part of a level: latent variables, and observed ones taking part in paths
k      natural parameters: the distinct free elements of the model matrices
q      elements of theta, the unconstrained vector; natural = offset + Z theta with Z (k, q)
N      rows (level-1 units);  J  clusters (level-2 units)
S      distinct cluster sizes (padded: entries with count 0 contribute nothing)
R      missing-value patterns of rows;  K  occupied (cluster, pattern) pairs
====== ==============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jax import Array

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:

    class _Kind:
        """What annotations need of jaxtyping's kind of the same name where they are read at run time, as those of records that a
        file holds are: its name and the axes. To import jaxtyping itself takes as long as three packages of this library.
        """

        def __init__(self, name: str):
            self._name = name

        def __getitem__(self, of: tuple[Any, str]) -> type:
            array, axes = of
            return type(f"{self._name}[{array.__name__}, {axes!r}]", (), {"dim_str": " ".join(axes.split())})

    Bool, Float, Int = _Kind("Bool"), _Kind("Float"), _Kind("Int")

Scalar = Float[Array, ""]
Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]

__all__ = ["Array", "Bool", "Float", "Int", "Matrix", "Scalar", "Vector"]
