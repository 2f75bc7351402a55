"""The compiled functions that every fit of the same dimensions shares."""

from __future__ import annotations

import jax

from mlsem_jax import likelihood
from mlsem_jax.models import Structure

evaluate = jax.jit(likelihood.evaluate)
log_likelihood = jax.jit(likelihood.log_likelihood)
observed_information = jax.jit(likelihood.observed_information)
expected_information = jax.jit(likelihood.expected_information)
cluster_scores = jax.jit(likelihood.cluster_scores)
pattern_scores = jax.jit(likelihood.pattern_scores)


@jax.jit
def implied_moments(structure: Structure, theta):
    """Model-implied moments by group at theta."""
    return structure(theta)
