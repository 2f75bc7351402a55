"""Many patterns of missing values: derivatives chunk by chunk and in parts are those of all at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlsem_jax import likelihood
from mlsem_jax.likelihood import PatternTerm, Statistics, _directions
from mlsem_jax.models import Moments, build
from mlsem_jax.numerics import float64
from mlsem_jax.observed import _patterns, pattern_statistics
from mlsem_jax.syntax import SyntaxOptions, parse, specify

MODEL = """
level: 1
  f =~ y1 + y2 + y3 + y4
level: 2
  fb =~ y1 + y2 + y3 + y4
"""


@pytest.mark.timeout(240)
@float64
def test_derivatives_with_more_patterns_than_pairs_of_a_chunk(own_programs, monkeypatch):
    """Two clusters a chunk see fewer pairs than there are patterns; one chunk sees all. Information and scores are the same."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(36, 4)) + rng.normal(size=(12, 4))[np.repeat(np.arange(12), 3)]
    values = np.where(rng.random(values.shape) < 0.4, np.nan, values)
    cluster, group = np.repeat(np.arange(12), 3), np.zeros(12, int)
    names = ["y1", "y2", "y3", "y4"]
    spec = specify(parse(MODEL), options=SyntaxOptions.for_function("sem"), data_variables=names, group_labels=())
    made = build(spec, Moments.two_level(np.eye(4)[None], np.eye(4)[None], np.zeros((1, 4)), np.zeros((1, 4))))
    theta = jnp.asarray(0.5 + 0.1 * rng.random(made.basis.shape[1]))
    found = []
    for chunk, elements in ((4096, 2**22), (2, 1)):
        monkeypatch.setattr(_patterns, "CHUNK", chunk)
        monkeypatch.setattr(_patterns, "bucket", lambda count: count)
        monkeypatch.setattr(_directions, "ELEMENTS", elements)
        s = pattern_statistics(values, cluster, group, np.zeros(4, bool), reference=np.zeros(4), by_pair=True)
        together = len(s.rows) <= s.clusters.pattern.shape[1]
        assert together == (chunk == 4096), "one data set by each of the two ways"
        s = jax.tree.map(jnp.asarray, s)
        information = likelihood.observed_information(made.structure, theta, Statistics((PatternTerm(s),)))
        value, score = jax.jit(likelihood.term_scores)(made.structure, theta, PatternTerm(s))
        kept = np.ravel(s.clusters.weight) > 0
        found.append((information, np.asarray(value)[kept], np.asarray(score)[kept]))
    for one, other in zip(*found, strict=True):
        # rounding of sums in another order
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
