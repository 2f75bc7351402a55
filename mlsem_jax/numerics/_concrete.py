"""Whether the leaves of a tree are numbers that can be looked at."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def concrete(tree: Any) -> bool:
    """Whether all leaves are arrays with values: neither traced nor shapes, specifications or whatever else a tree may hold."""
    leaves = jax.tree.leaves(tree)
    return bool(leaves) and all(
        isinstance(leaf, np.ndarray | np.generic | jax.Array) and not isinstance(leaf, jax.core.Tracer)
        for leaf in leaves
    )
