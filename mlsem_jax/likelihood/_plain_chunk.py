"""Statistics by pattern as NumPy works with them: all clusters in one chunk, without padding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from mlsem_jax.observed import ClusterChunk, PatternStatistics

# fields of `PatternStatistics` that lead with patterns of rows, and with those of between-only variables
OF_ROWS = ("observed", "group", "rows", "total", "cross")
OF_BETWEEN = ("between_observed", "between_group")


class PlainChunk(NamedTuple):
    """s: patterns; chunk: clusters and pairs; both plain records with the fields of `PatternStatistics` and `ClusterChunk`.

    place (L,): the places that the clusters have among all, padding included, of which there are `padded`.
    """

    s: Any
    chunk: Any
    place: np.ndarray
    padded: int


def plain_chunk(data: PatternStatistics) -> PlainChunk:
    """Of statistics on whatever device."""
    # field by field: to take trees of the size of these apart, and to make them, costs as much as an evaluation
    fields = {name: np.asarray(value) for name, value in vars(data).items() if name != "clusters"}
    occupied = np.flatnonzero(fields["rows"] > 0)
    fields |= {name: fields[name][: int(occupied.max(initial=0)) + 1] for name in OF_ROWS}
    chunk, place, padded = _clusters(data.clusters)
    between = int(chunk.between_pattern.max(initial=0)) + 1
    fields |= {name: fields[name][:between] for name in OF_BETWEEN}
    return PlainChunk(SimpleNamespace(**fields), chunk, place, padded)


def _clusters(clusters: ClusterChunk) -> tuple[Any, np.ndarray, int]:
    """The record, place (L,) and number with padding of the clusters."""
    held = {name: None if value is None else np.asarray(value) for name, value in vars(clusters).items()}
    chunk: Any = SimpleNamespace(**held)
    counted, occupied = chunk.weight > 0, np.ravel(chunk.products[..., 0, 0] > 0)
    length = counted.shape[1]
    # what is asked of a pair's cluster is its number among those that count
    number = np.cumsum(counted.ravel()) - 1
    of_pair = chunk.cluster + np.arange(len(counted))[:, None] * length
    occupied &= counted.ravel()[of_pair.ravel()]
    place = np.flatnonzero(counted)

    def of_clusters(x: np.ndarray) -> np.ndarray:
        return np.reshape(x, (counted.size, *x.shape[2:]))[place]

    def of_pairs(x: np.ndarray) -> np.ndarray:
        return np.reshape(x, (occupied.size, *x.shape[2:]))[occupied]

    record = SimpleNamespace(
        **{name: of_clusters(getattr(chunk, name)) for name in ("group", "between_pattern", "between", "weight")},
        **{name: of_pairs(getattr(chunk, name)) for name in ("pattern", "products", "total")},
        cluster=number[of_pairs(of_pair)],
        cross=None if chunk.cross is None else of_pairs(chunk.cross),
    )
    return record, place, counted.size
