"""The data of a fit by clusters, for whatever weights clusters: bootstrap, leaving one out, influence."""

from __future__ import annotations

import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax.estimation import Estimation, patterns_of
from mlsem_jax.likelihood import WeightedClusters
from mlsem_jax.observed import plan_sizes
from mlsem_jax.ordinal import OrdinalTerm, WeightedOrdinal


def weighted_clusters(estimation: Estimation) -> WeightedClusters | WeightedOrdinal:
    """Every cluster's statistics, numbered as in the data; weights (J,) make statistics of them without the rows."""
    reduction, data = estimation.reduction, estimation.data
    ordinal = [term for term in reduction.statistics.terms if isinstance(term, OrdinalTerm)]
    if ordinal:
        return WeightedOrdinal(ordinal[0], data.cluster_weights if data.weighted else None)
    if data.single and not data.has_rows and reduction.clusters is None:
        raise DataError("Weights on rows need the rows, which a fit read from a file does not hold: fit again.")
    specification, groups = estimation.model.build.specification, data.ngroups
    plan = patterns = None
    if reduction.clusters is not None:
        plan = plan_sizes(reduction.clusters.size, reduction.clusters.group, groups)
    if len(reduction.pattern_codes):
        if not data.has_rows:
            raise DataError(
                "Weights on clusters with missing values or random slopes need the rows, which a fit read from a file does not "
                "hold: fit again."
            )
        which = np.isin(np.arange(data.nclusters), reduction.pattern_codes)
        patterns = patterns_of(specification, data, which, by_pair=True)
    sizes = np.bincount(data.cluster, data.row_weights, data.nclusters)
    return WeightedClusters(
        clusters=reduction.clusters,
        plan=plan,
        complete_codes=np.asarray(reduction.complete_codes),
        patterns=patterns,
        pattern_codes=np.asarray(reduction.pattern_codes),
        sizes=None if estimation.statistics.pools is None else plan_sizes(sizes, data.group, groups),
        single=data.single,
        mean=held_means(estimation),
        base=data.cluster_weights if data.weighted and not data.single else None,
    )


def held_means(estimation: Estimation) -> np.ndarray | None:
    """Means (G, p) that a model without mean structure holds; None where they are parameters."""
    return None if estimation.model.build.specification.means else np.asarray(estimation.exogenous.mean)


def beyond_linear(estimation: Estimation, rotations: bool = True) -> list[str]:
    """What restricts the model beside linear equalities, in words: nonlinear constraints, inequalities, bounds, and rotations."""
    constraints = estimation.model.build.nonlinear
    bounded = estimation.options.bounds not in ("none", None, {})
    texts = [c.text for c in constraints] + (["bounds=" + repr(estimation.options.bounds)] if bounded else [])
    specification = estimation.model.build.specification
    blocks = specification.blocks if rotations else ()
    texts += list(dict.fromkeys(f"the rotation of the efa() block {b.name!r}" for b in blocks))
    rows = specification.parameters
    return texts + [row.name for row in rows if row.free and (row.lower is not None or row.upper is not None)]


def refuse_constraints(estimation: Estimation, what: str, rotated: bool = False) -> None:
    """ModelError for models that a batch cannot fit: nonlinear constraints, bounds, inequalities; and rotations, unless rotated."""
    if texts := beyond_linear(estimation, not rotated):
        raise ModelError(
            f"{what} refits the model in batches, which hold linear equality constraints only; this model has {listing(texts)}. "
            "Drop them, or loop over resampled data with ml.sem."
        )
