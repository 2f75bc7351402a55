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

from jaxtyping import Array, Bool, Float, Int

Scalar = Float[Array, ""]
Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]

__all__ = ["Array", "Bool", "Float", "Int", "Matrix", "Scalar", "Vector"]
