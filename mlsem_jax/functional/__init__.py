"""The JAX layer: models, statistics, log-likelihood and estimates as functions of arrays; batches."""

from mlsem_jax.functional._batches import estimate_batch
from mlsem_jax.functional._collected import by_pattern
from mlsem_jax.functional._model import model, statistics

__all__ = [
    "by_pattern",
    "estimate_batch",
    "model",
    "statistics",
]
