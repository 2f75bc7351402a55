"""The JAX layer: models, statistics, log-likelihood and estimates as functions of arrays; batches."""

from mlsem_jax.functional._batches import estimate_batch
from mlsem_jax.functional._model import model

__all__ = [
    "estimate_batch",
    "model",
]
