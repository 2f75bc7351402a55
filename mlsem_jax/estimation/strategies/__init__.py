"""The searches of one fit: a first one, then others where it failed or its maximum is in doubt."""

from mlsem_jax.estimation.strategies._fallbacks import STRONG, Saturated
from mlsem_jax.estimation.strategies._fit_surely import maximum_of

__all__ = [
    "STRONG",
    "Saturated",
    "maximum_of",
]
