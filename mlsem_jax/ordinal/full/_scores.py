"""Posterior means of the latent variables given ordered answers (EAP scores), with posterior standard deviations.

A latent variable is a linear function of the integral's variables z, w and of the continuous outcomes and covariates, plus what
these leave open, which is normal: its mean and variance are those of that function over the posterior of the nodes, and the open
variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._typing import Array
from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import LevelMatrices, Moments
from mlsem_jax.ordinal.full._cells import Cells, Cluster, cells_of, row_patterns
from mlsem_jax.ordinal.full._conditional import Conditional, of_groups
from mlsem_jax.ordinal.full._design import ordinal_term, with_patterns
from mlsem_jax.ordinal.full._integral import posterior
from mlsem_jax.ordinal.full._layout import Layout, trapezoid
from mlsem_jax.ordinal.full._term import Block, OrdinalTerm, in_chunks


@dataclass(frozen=True)
class _Linear:
    """eta = base + on_x (x - mean of x) + on_left (residual of c at z) + on_z z + on_w w + e, var(e) = open. At level 1 on_left
    (P, m, c), on_node (P, m, m1) and open (P, m) are of each pattern of missing values, at level 2 of one.
    """

    base: np.ndarray
    on_x: np.ndarray
    x_mean: np.ndarray
    on_left: np.ndarray
    on_node: np.ndarray
    open: np.ndarray


def ordinal_scores(
    moments: Moments, layout: Layout, levels: list[list[LevelMatrices]], data: TwoLevelData, level: int, at: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and their standard deviations (N or J, m) of the members `at` of eta of a level, in the order of the data's rows or
    clusters. levels: the matrices of each level, by group, at the estimates.
    """
    layout = with_patterns(layout, moments, data)
    term = ordinal_term(layout, data, merge=False)
    parts, _ = of_groups(jax.tree.map(jnp.asarray, moments), layout)
    count = len(data.values) if level == 1 else data.nclusters
    values, se = np.empty((count, len(at))), np.empty((count, len(at)))
    order, start = np.argsort(data.cluster, kind="stable"), cluster_starts(data)
    for block, codes in zip(term.blocks, codes_of_blocks(term), strict=True):
        linear = _linear(parts[block.group], layout, levels[level - 1][block.group], level, at)
        mean, variance = (np.asarray(x) for x in _block(parts[block.group], layout, block, linear, level))
        if level == 2:
            values[codes], se[codes] = mean, np.sqrt(np.maximum(variance, 0.0))
            continue
        for j, code in enumerate(codes):
            size = start[code + 1] - start[code]
            rows = order[start[code] : start[code + 1]]
            values[rows], se[rows] = mean[j, :size], np.sqrt(np.maximum(variance[j, :size], 0.0))
    return values, se


def cluster_starts(data: TwoLevelData) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(data.cluster, minlength=data.nclusters))])


def codes_of_blocks(term: OrdinalTerm) -> list[np.ndarray]:
    """The clusters of the data in each block, in its order."""
    order = np.argsort(term.member, kind="stable")
    return np.split(order, np.cumsum([len(block.count) for block in term.blocks])[:-1])


def _linear(at: Conditional, layout: Layout, matrices: LevelMatrices, level: int, members: list[int]) -> _Linear:
    """How the latent variables of a level depend on the integral's."""
    count = len(layout.ordered)
    joint, y = matrices.eta_cov @ matrices.lambda_.T, [*layout.outcomes, *(layout.slopes if level == 2 else ())]
    x = list(layout.within_x if level == 1 else layout.between_given)
    cov, on_y = matrices.cov, joint[members][:, y]
    on_x = joint[members][:, x] @ np.linalg.inv(cov[np.ix_(x, x)]) if x else np.zeros((len(members), 0))
    on_y = on_y - on_x @ cov[np.ix_(x, y)]
    left = matrices.eta_cov[np.ix_(members, members)].diagonal() - np.sum(on_x * joint[members][:, x], axis=1)
    x_mean = np.asarray(at.within_mean if level == 1 else at.between_mean)
    if level == 1:
        given = [_given(on_y, left, at, k, count, seen) for k, seen in enumerate(layout.patterns)]
    else:
        given = [(np.zeros((len(members), 0)), on_y, left, np.asarray(at.between_root))]
    on_left, on_node, open_ = (np.stack(part) for part in zip(*(_on_nodes(*part) for part in given), strict=True))
    return _Linear(matrices.eta_mean[members], on_x, x_mean, on_left, on_node, open_)


def _given(
    on_y: np.ndarray, left: np.ndarray, at: Conditional, pattern: int, count: int, seen: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """In a pattern of missing values: coefficients on what continuous outcomes leave (m, c); covariances with the ordered outcomes
    and variances given these; the root of the integral's variables.
    """
    precision, on_continuous = np.asarray(at.precision[pattern]), np.asarray(at.on_continuous[pattern])
    some, on_c = list(seen), on_y[:, count:]
    on_left = on_c @ precision
    ordered = np.linalg.solve(precision[np.ix_(some, some)], on_continuous[:, some].T)
    return (
        on_left,
        on_y[:, :count] - on_left[:, some] @ ordered,
        left - np.sum(on_left * on_c, axis=1),
        np.asarray(at.within_root[pattern]),
    )


def _on_nodes(on_left: np.ndarray, on_y: np.ndarray, left: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, ...]:
    on_node = on_y @ np.linalg.pinv(root).T
    return on_left, on_node, np.maximum(left - np.sum(on_node**2, axis=1), 0.0)


def _block(at: Conditional, layout: Layout, block: Block, linear: _Linear, level: int) -> tuple[Array, Array]:
    """Means and variances (J, m) of the clusters, or (J, n, m) of their rows."""
    w, _ = trapezoid(layout.points[1], len(layout.within_pivots))

    def one(cluster: Cluster) -> tuple[Array, Array]:
        cells = cells_of(at, layout, cluster)
        known = posterior(cells, layout, cluster)
        if level == 2:
            base = linear.base + linear.on_x @ (cluster.between_x - linear.x_mean)
            return _moments(base + known.nodes @ linear.on_node[0].T, known.share, linear.open[0])
        weight = (known.share[:, None] * known.inner).reshape(known.inner.shape[0], -1)
        rows = weight.shape[0]
        pattern = jnp.broadcast_to(row_patterns(layout, cluster), (rows,))
        value = jnp.tile(w @ jnp.swapaxes(jnp.asarray(linear.on_node), 1, 2), (1, known.nodes.shape[0], 1))
        return jax.vmap(lambda k, row, x, base: _moments(value[k] + base + x, row, jnp.asarray(linear.open)[k]))(
            pattern,
            weight,
            _left(cells, known.nodes, linear, len(w), pattern),
            _of_rows(cluster, linear, rows),
        )

    return in_chunks(one, (block.clusters,), int(np.prod(np.shape(block.clusters.answers))) * len(w) * 64)


def _of_rows(cluster: Cluster, linear: _Linear, rows: int) -> Array:
    return linear.base + jnp.broadcast_to((cluster.within_x - linear.x_mean) @ linear.on_x.T, (rows, len(linear.base)))[
        :, None, :
    ].reshape(rows, 1, -1)


def _left(cells: Cells, nodes: Array, linear: _Linear, points: int, pattern: Array) -> Array:
    """What the residuals of the continuous outcomes add at every node (n, Q R, m)."""
    if not linear.on_left.shape[2]:
        return jnp.zeros((len(pattern), 1, len(linear.base)))
    left = cells.residual[:, None, :] - jnp.einsum("ncm,qm->nqc", cells.residual_slope, nodes)
    return jnp.repeat(jnp.einsum("nqc,nmc->nqm", left, jnp.asarray(linear.on_left)[pattern]), points, axis=1)


def _moments(value: Array, weight: Array, left: Array | np.ndarray) -> tuple[Array, Array]:
    """Mean and variance (m,) of values (Q, m) with weights (Q,), and what is open beside."""
    total = jnp.sum(weight)
    share = weight / jnp.where(total > 0, total, 1.0)
    mean = share @ value
    return mean, share @ (value - mean) ** 2 + left
