"""lavaan model text -> Specification."""

from mlsem_jax.syntax._added_rows import read_added as read_added
from mlsem_jax.syntax._constraint_text import read_constraints as read_constraints
from mlsem_jax.syntax._cursor import quoted as quoted
from mlsem_jax.syntax._model_text import read_model as read_model
from mlsem_jax.syntax._options import SyntaxOptions as SyntaxOptions
from mlsem_jax.syntax._ordered import endogenous as endogenous
from mlsem_jax.syntax._parser import parse as parse
from mlsem_jax.syntax._specify import specify as specify
from mlsem_jax.syntax._tree import Syntax as Syntax
