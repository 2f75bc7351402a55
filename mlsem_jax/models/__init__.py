"""Parameters, covariance structures and moments: theta -> within and between means and covariances."""

from mlsem_jax.models._build import Build, build
from mlsem_jax.models._constant_parts import constant, constants_problem
from mlsem_jax.models._constraints import is_linear, residual_function, values_by_label
from mlsem_jax.models._covariance import KINDS, CovarianceKind, Kind, kind_named
from mlsem_jax.models._dual_numbers import Slopes, defined_with_jacobian, residuals_with_jacobian
from mlsem_jax.models._exploratory import ROTATIONS, ExploratoryBlock, Rotation, unrotated
from mlsem_jax.models._expressions import (
    BINARY,
    DEEPEST,
    FUNCTIONS,
    Binary,
    Call,
    Expression,
    Name,
    Number,
    chained,
    children,
    depth,
    postorder,
)
from mlsem_jax.models._filling import ABSENT_VARIANCE
from mlsem_jax.models._kinds import Choice, register, registered, unregister
from mlsem_jax.models._layout import members, place
from mlsem_jax.models._matrices import (
    Directions,
    LevelMatrices,
    covariance_directions,
    directions,
    kinds_of,
    level_matrices,
    sum_by_parameter,
)
from mlsem_jax.models._numbering import fixed_values, number
from mlsem_jax.models._plain_moments import PlainMoments, PlainParts, plain_moments
from mlsem_jax.models._remembered import remembered
from mlsem_jax.models._scales import Scales, residual_diagonals, residual_slopes
from mlsem_jax.models._specification import (
    NO_LEVEL,
    Cell,
    Constraint,
    Definition,
    Level,
    MatrixName,
    Ordered,
    Parameter,
    Slope,
    Specification,
)
from mlsem_jax.models._structure import (
    Covariance,
    Filled,
    LevelMoments,
    LevelStructure,
    Moments,
    OrderedMoments,
    OrderedStructure,
    Structure,
)

__all__ = [
    "ABSENT_VARIANCE",
    "Directions",
    "LevelMatrices",
    "covariance_directions",
    "directions",
    "kinds_of",
    "level_matrices",
    "PlainMoments",
    "PlainParts",
    "plain_moments",
    "sum_by_parameter",
    "FUNCTIONS",
    "KINDS",
    "NO_LEVEL",
    "ROTATIONS",
    "Binary",
    "Build",
    "fixed_values",
    "Call",
    "Cell",
    "Choice",
    "Constraint",
    "Covariance",
    "CovarianceKind",
    "Definition",
    "ExploratoryBlock",
    "Expression",
    "Filled",
    "Kind",
    "LevelMoments",
    "Level",
    "LevelStructure",
    "Moments",
    "Name",
    "Number",
    "Parameter",
    "Rotation",
    "Scales",
    "residual_diagonals",
    "residual_slopes",
    "Slope",
    "Specification",
    "Ordered",
    "OrderedMoments",
    "OrderedStructure",
    "Structure",
    "build",
    "Slopes",
    "defined_with_jacobian",
    "is_linear",
    "residuals_with_jacobian",
    "kind_named",
    "members",
    "place",
    "register",
    "registered",
    "remembered",
    "residual_function",
    "unregister",
    "unrotated",
    "values_by_label",
    "number",
    "MatrixName",
    "DEEPEST",
    "BINARY",
    "chained",
    "children",
    "depth",
    "postorder",
    "constant",
    "constants_problem",
]
