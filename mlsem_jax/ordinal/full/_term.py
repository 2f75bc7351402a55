"""Ordered outcomes as a term of the likelihood, by full information: integrals over latent variables, cluster by cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._record import Record, static
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.likelihood import ClusterSizes, LevelSum, Statistics, Term
from mlsem_jax.models import Moments
from mlsem_jax.ordinal.full._cells import Cluster, cells_of
from mlsem_jax.ordinal.full._conditional import Conditional, of_groups
from mlsem_jax.ordinal.full._integral import (
    Posterior,
    Quadratic,
    cluster_log_likelihood,
    gradient_in_cells,
    posterior,
    quadratic,
    score_spread,
)
from mlsem_jax.ordinal.full._layout import Layout

# numbers that the clusters of one step hold at a time: 32 MB an array
TOGETHER = 2**22


class Block(Record):
    """Clusters of one group that are padded to the same number of rows; count (J,): how many clusters of the data each stands for,
    weights included.
    """

    clusters: Cluster
    count: Float[Array, " J"]
    group: int = static()


class OrdinalTerm(Term):
    """blocks: the distinct clusters; member (J,): which of these, one block after the other, each cluster of the data is. clusters:
    their groups, sizes and weights; values: number of answers. Values are sums over clusters, given the covariates.
    """

    blocks: tuple[Block, ...]
    member: Int[Array, " J"]
    clusters: ClusterSizes
    values: Float[Array, " one"]
    layout: Layout = static()

    @property
    def saturated(self) -> bool:
        return False

    @property
    def expected(self) -> bool:
        return False

    @property
    def own_scores(self) -> bool:
        return True

    @property
    def curved(self) -> int:
        return int(sum(_elements(block, self.layout) for block in self.blocks))

    @property
    def sizes(self) -> None:
        return None

    @property
    def lane_mark(self) -> Array:
        return self.values

    def lane_elements(self, q: int) -> float:
        return 8.0 * min(self.curved, TOGETHER)

    def n_values(self, between_only: Float[np.ndarray, " p"]) -> float:
        return float(np.sum(self.values))

    def cluster_sizes(self) -> ClusterSizes:
        return self.clusters

    def value_and_gradient(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Moments]:
        parts, back, inside = jax.vjp(lambda m: of_groups(m, self.layout), moments, has_aux=True)
        slopes = [jax.tree.map(jnp.zeros_like, part) for part in parts]
        total = jnp.zeros(())
        for block in self.blocks:
            value, slope = clusters_and_slopes(parts[block.group], self.layout, block)
            total = total + block.count @ value
            summed = jax.tree.map(lambda x, n=block.count: jnp.tensordot(n, x, 1), slope)
            slopes[block.group] = jax.tree.map(jnp.add, slopes[block.group], summed)
        return jnp.where(inside, total, -jnp.inf), back(tuple(slopes))[0]

    def scored(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]
    ) -> tuple[Array, Array, Array]:
        inside, found = self._scores(moments, jacobian)
        value = sum(block.count @ v for block, (v, _) in zip(self.blocks, found, strict=True))
        gradient = sum(block.count @ s for block, (_, s) in zip(self.blocks, found, strict=True))
        outer = sum((s * block.count[:, None]).T @ s for block, (_, s) in zip(self.blocks, found, strict=True))
        return jnp.where(inside, value, -jnp.inf), gradient, outer

    def _scores(self, moments: Moments, jacobian: Moments) -> tuple[Array, list[tuple[Array, Array]]]:
        """Whether the moments lie inside the domain, and log-likelihoods (J,) and scores (J, q) of each block's clusters."""
        parts, push, inside = jax.linearize(lambda m: of_groups(m, self.layout), moments, has_aux=True)
        tangents = jax.vmap(push, in_axes=-1, out_axes=-1)(jacobian)
        found = []
        for block in self.blocks:
            value, slope = clusters_and_slopes(parts[block.group], self.layout, block)
            pieces = jax.tree.map(lambda x, t: jnp.tensordot(x, t, x.ndim - 1), slope, tangents[block.group])
            found.append((value, sum(jax.tree.leaves(pieces))))
        return inside, found

    def gradient_near(self, moments: Moments, between_only: Float[Array, " p"]) -> Callable[[Moments], Moments]:
        if self.layout.follows:
            return lambda near: self.value_and_gradient(near, between_only)[1]
        parts, _ = of_groups(moments, self.layout)

        def known(block: Block) -> Quadratic:
            return in_chunks(
                lambda c: _form(parts[block.group], self.layout, c)[1],
                (block.clusters,),
                _elements(block, self.layout),
            )

        return self._near([known(block) for block in self.blocks])

    def _near(self, forms: list[Quadratic]) -> Callable[[Moments], Moments]:
        """The gradient in the moments of a sum over clusters of functions of their cells."""

        def total(near: Moments) -> Array:
            found, _ = of_groups(near, self.layout)

            def one(at: Conditional, cluster: Cluster, form: Quadratic) -> Array:
                return form(cells_of(at, self.layout, cluster), self.layout, cluster)

            sums = [
                block.count @ jax.vmap(one, in_axes=(None, 0, 0))(found[block.group], block.clusters, form)
                for block, form in zip(self.blocks, forms, strict=True)
            ]
            return sum(sums)

        return jax.grad(total)

    def curvature(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None) -> Array:
        return self.curvature_and_near(moments, jacobian, between_only)[0]

    def curvature_and_near(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> tuple[Array, Callable[[Moments], Moments]]:
        q, layout = jax.tree.leaves(jacobian)[0].shape[-1], self.layout
        if layout.follows:
            return jnp.zeros((q, q)), self.gradient_near(moments, between_only)
        parts, push, _ = jax.linearize(lambda m: of_groups(m, layout), moments, has_aux=True)
        tangents = jax.vmap(push, in_axes=-1, out_axes=0)(jacobian)

        def one(at: Conditional, along: Conditional, cluster: Cluster) -> tuple[Array, Quadratic]:
            known, form = _form(at, layout, cluster)
            push = jax.linearize(lambda a: cells_of(a, layout, cluster), at)[1]
            return score_spread(form.about, jax.vmap(push)(along), layout, cluster, known), form

        total, forms = jnp.zeros((q, q)), []
        for block in self.blocks:
            of_one = partial(one, parts[block.group], tangents[block.group])
            spread, form = in_chunks(of_one, (block.clusters,), q * _elements(block, layout))
            total = total + jnp.tensordot(block.count, spread, 1)
            forms.append(form)
        return total, self._near(forms)

    def expected_information(
        self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"], at: Any = None
    ) -> Array:
        raise TypeError("Ordered outcomes have no expected information in closed form.")

    def by_cluster(self, moments: Moments, jacobian: Moments, between_only: Float[Array, " p"]) -> tuple[Array, Array]:
        _, found = self._scores(moments, jacobian)
        value, score = (jnp.concatenate([pair[i] for pair in found]) for i in (0, 1))
        return value[self.member], score[self.member]

    def expected_sums(self, moments: Moments, between_only: Float[Array, " p"]) -> tuple[LevelSum, LevelSum]:
        raise TypeError("Ordered outcomes have no expected sums: EM is for normal data.")

    def covariate_sums(self, moments: Moments) -> tuple[LevelSum, LevelSum]:
        """Zeros: the likelihood is one given the covariates, so that nothing of theirs is in it."""
        groups, p = moments.within_mean.shape
        none = jnp.zeros(groups), jnp.zeros((groups, p)), jnp.zeros((groups, p, p))
        return none, none


class WeightedOrdinal(Record):
    """A data set of ordered outcomes by clusters, from which weights on clusters make statistics: as `WeightedClusters`."""

    term: OrdinalTerm
    base: Float[Array, " J"] | None = None

    @property
    def complete_codes(self) -> Int[Array, " J"]:
        return np.arange(np.shape(self.term.member)[-1])

    @property
    def pattern_codes(self) -> Int[Array, " none"]:
        return np.zeros(0, int)

    @property
    def patterns(self) -> None:
        return None

    def __call__(self, weights: Float[Array, " J"]) -> Statistics:
        """Statistics in which cluster j counts weights[j] times."""
        weights = weights if self.base is None else weights * self.base
        lengths = [np.shape(block.count)[0] for block in self.term.blocks]
        counts = jnp.split(jax.ops.segment_sum(weights, self.term.member, sum(lengths)), np.cumsum(lengths)[:-1])
        blocks = tuple(
            Block(block.clusters, count, block.group) for block, count in zip(self.term.blocks, counts, strict=True)
        )
        return Statistics((replace(self.term, blocks=blocks),), None)


def _elements(block: Block, layout: Layout) -> int:
    """Numbers that an array over the nodes of all clusters of a block has."""
    count, rows, outcomes = np.shape(block.clusters.answers)[-3:]
    between, within = layout.dimensions
    nodes = layout.points[0] ** between * layout.points[1] ** within
    per_row = outcomes if layout.aligned else 1
    return count * nodes * (rows * per_row + (0 if layout.aligned else outcomes * max(layout.categories)))


def _form(at: Conditional, layout: Layout, cluster: Cluster) -> tuple[Posterior, Quadratic]:
    """Of one cluster: the posterior of its nodes, and the function of its cells with the same gradient."""
    cells = cells_of(at, layout, cluster)
    known = posterior(cells, layout, cluster)
    return known, quadratic(cells, layout, cluster, known)


def clusters_and_slopes(at: Conditional, layout: Layout, block: Block) -> tuple[Float[Array, " J"], Conditional]:
    """Log-likelihood (J,) of every cluster of a block and its derivatives in the pieces, along a leading axis J."""

    def one(cluster: Cluster) -> tuple[Array, Conditional]:
        if layout.follows:
            return jax.value_and_grad(cluster_log_likelihood)(at, layout, cluster)
        cells, back = jax.vjp(lambda a: cells_of(a, layout, cluster), at)
        known = posterior(cells, layout, cluster)
        return known.value, back(gradient_in_cells(cells, layout, cluster, known))[0]

    return in_chunks(one, (block.clusters,), _elements(block, layout))


def in_chunks(function: Callable, arrays: tuple[Any, ...], elements: int) -> Any:
    """The function mapped over the leading axis of arrays, as much of it at a time as keeps `elements`, the size of what it makes
    of all, below TOGETHER.
    """
    count = jax.tree.leaves(arrays)[0].shape[0]
    step = max(1, TOGETHER * count // max(elements, 1))
    if step >= count:
        return jax.vmap(function)(*arrays)
    chunks = -(-count // step)

    def cut(x: Array) -> Array:
        """Along its first axis into chunks, the last one filled up with repetitions."""
        whole = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (chunks * step - count, *x.shape[1:]))])
        return whole.reshape(chunks, step, *x.shape[1:])

    found = jax.lax.map(lambda some: jax.vmap(function)(*some), jax.tree.map(cut, arrays))
    return jax.tree.map(lambda x: x.reshape(chunks * step, *x.shape[2:])[:count], found)
